/* SPDX-License-Identifier: MIT */
/* Notification ports: doorbells with a handle, and events that a hypercall signals by their connection. Reference 7.6. */
#include "state/port.h"
#include "tests/whp/guest.h"
#undef fail /* Check's */
#include "whp/handle.h"

#include <sys/eventfd.h>
#include <unistd.h>

Suite *ports_suite(void);

enum { BELL = GUEST_HOLE + 8, HV_INVALID_PARAMETER_ = (int)0xC0350005, NOT_FOUND = (int)0x80070490 };

static HANDLE handle_of(int fd)
{
    return (HANDLE)(intptr_t)fd;
}

static u64 taken(int fd)
{
    u64 n;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static WHV_NOTIFICATION_PORT_PARAMETERS doorbell_at(u64 gpa, u32 length)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;

    memset(&q, 0, sizeof q);
    q.NotificationPortType = WHvNotificationPortTypeDoorbell;
    q.Doorbell.GuestAddress = gpa;
    q.Doorbell.Length = length;
    q.Doorbell.MatchOnLength = 1;
    return q;
}

static WHV_NOTIFICATION_PORT_PARAMETERS event_of(u32 connection)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;

    memset(&q, 0, sizeof q);
    q.NotificationPortType = WHvNotificationPortTypeEvent;
    q.Event.ConnectionId = connection;
    return q;
}

static HRESULT open_port(struct guest *g, WHV_NOTIFICATION_PORT_PARAMETERS q, int fd, WHV_NOTIFICATION_PORT_HANDLE *port)
{
    return WHvCreateNotificationPort(g->partition, &q, handle_of(fd), port);
}

/* As the hypercall does it. */
static u32 signal_connection(struct guest *g, u32 connection, u32 flag)
{
    struct partition *p;
    u32 status;

    ck_ok(partition_enter(g->partition, &p));
    status = port_signal(p, connection, flag);
    partition_leave(g->partition);
    return status;
}

START_TEST(a_doorbell_port_is_a_doorbell_with_a_handle)
{
    static const u8 code[] = { 0x88, 0x03, 0xf4 };
    WHV_NOTIFICATION_PORT_PARAMETERS q = doorbell_at(BELL, 1);
    WHV_NOTIFICATION_PORT_HANDLE port = NULL, other = NULL;
    int fd = eventfd(0, EFD_NONBLOCK);
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvX64RegisterRbx, BELL);
    ck_ok(open_port(&g, q, fd, &port));
    ck_assert_ptr_nonnull(port);
    ck_hr(open_port(&g, q, fd, &other), HV_INVALID_PARAMETER_);
    ck_hr(WHvRegisterPartitionDoorbellEvent(g.partition, &q.Doorbell, handle_of(fd)), HV_INVALID_PARAMETER_);
    ck_hr(WHvUnregisterPartitionDoorbellEvent(g.partition, &q.Doorbell), NOT_FOUND); /* it goes with its handle */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(taken(fd), 1);
    ck_ok(open_port(&g, doorbell_at(BELL + 1, 1), fd, &other));
    ck_assert_ptr_ne(other, port);
    ck_ok(WHvDeleteNotificationPort(g.partition, port));
    ck_hr(WHvDeleteNotificationPort(g.partition, port), E_INVALIDARG);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_ok(open_port(&g, q, fd, &port)); /* a handle isn't given twice */
    ck_hr(WHvDeleteNotificationPort(g.partition, (char *)port - 32), E_INVALIDARG);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    guest_close(&g);
    close(fd);
}
END_TEST

/* In no order. */
static u32 connection_of(u32 i)
{
    return i * 7 % 5 * 0x1000;
}

START_TEST(an_event_port_is_signalled_by_its_connection)
{
    WHV_NOTIFICATION_PORT_HANDLE port[5];
    int fd[5];
    struct guest g;
    u8 code = 0xf4;

    guest_open(&g, GUEST_LONG, &code, 1);
    ck_assert_uint_eq(signal_connection(&g, 3, 0), 0x12); /* HV_STATUS_INVALID_CONNECTION_ID */
    for (u32 i = 0; i < 5; i++) {
        fd[i] = eventfd(0, EFD_NONBLOCK);
        ck_ok(open_port(&g, event_of(connection_of(i)), fd[i], &port[i]));
    }
    for (u32 i = 0; i < 5; i++) {
        ck_assert_uint_eq(signal_connection(&g, connection_of(i), 0), 0);
        ck_assert_uint_eq(signal_connection(&g, connection_of(i), 0), 0);
        for (u32 n = 0; n < 5; n++)
            ck_assert_uint_eq(taken(fd[n]), n == i ? 2 : 0);
    }
    ck_assert_uint_eq(signal_connection(&g, 0x1000, 1), 5); /* HV_STATUS_INVALID_PARAMETER: it has one flag */
    ck_assert_uint_eq(signal_connection(&g, 1, 0), 0x12);
    ck_ok(WHvDeleteNotificationPort(g.partition, port[1]));
    ck_assert_uint_eq(signal_connection(&g, 2 * 0x1000, 0), 0x12);
    ck_assert_uint_eq(signal_connection(&g, 4 * 0x1000, 0), 0);
    ck_hr(open_port(&g, event_of(0), fd[1], &port[1]), HV_INVALID_PARAMETER_);
    ck_ok(open_port(&g, event_of(0xffffff), fd[1], &port[1]));
    ck_assert_uint_eq(signal_connection(&g, 0xffffff, 0), 0);
    ck_assert_uint_eq(taken(fd[1]), 1);
    guest_close(&g);
    for (u32 i = 0; i < 5; i++)
        close(fd[i]);
}
END_TEST

START_TEST(misuse_is_refused)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q = event_of(1);
    WHV_NOTIFICATION_PORT_HANDLE port;
    WHV_PARTITION_HANDLE p;
    int fd = eventfd(0, EFD_NONBLOCK);
    struct guest g;
    u8 code = 0xf4;

    guest_open(&g, GUEST_LONG, &code, 1);
    ck_hr(WHvCreateNotificationPort(NULL, &q, handle_of(fd), &port), E_INVALIDARG);
    ck_hr(WHvCreateNotificationPort(g.partition, NULL, handle_of(fd), &port), E_POINTER);
    ck_hr(WHvCreateNotificationPort(g.partition, &q, handle_of(fd), NULL), E_POINTER);
    ck_hr(WHvCreateNotificationPort(g.partition, &q, NULL, &port), E_HANDLE);
    for (u32 type = 0; type < 8; type++) {
        q.NotificationPortType = (WHV_NOTIFICATION_PORT_TYPE)type;
        if (type != WHvNotificationPortTypeEvent && type != WHvNotificationPortTypeDoorbell)
            ck_hr(open_port(&g, q, fd, &port), E_INVALIDARG);
    }
    q = event_of(1 << 24);
    ck_hr(open_port(&g, q, fd, &port), E_INVALIDARG);
    q = event_of(1);
    q.Reserved = 1;
    ck_hr(open_port(&g, q, fd, &port), E_INVALIDARG);
    q = event_of(1);
    q.Reserved1 = 1;
    ck_hr(open_port(&g, q, fd, &port), E_INVALIDARG);
    q = event_of(1);
    q.ConnectionVtl = 1;
    ck_hr(open_port(&g, q, fd, &port), E_INVALIDARG);
    ck_hr(open_port(&g, doorbell_at(BELL, 3), fd, &port), E_INVALIDARG);
    ck_assert_uint_eq(signal_connection(&g, 1, 0), 0x12);

    ck_ok(open_port(&g, event_of(1), fd, &port));
    ck_ok(WHvSetNotificationPortProperty(g.partition, port, WHvNotificationPortPropertyPreferredTargetVp, 0));
    ck_ok(WHvSetNotificationPortProperty(g.partition, port, WHvNotificationPortPropertyPreferredTargetVp, WHV_ANY_VP));
    ck_hr(WHvSetNotificationPortProperty(g.partition, port, WHvNotificationPortPropertyPreferredTargetVp, 1),
          E_INVALIDARG);
    ck_ok(WHvSetNotificationPortProperty(g.partition, port, WHvNotificationPortPropertyPreferredTargetDuration,
                                         WHV_NOTIFICATION_PORT_PREFERRED_DURATION_MAX));
    ck_hr(WHvSetNotificationPortProperty(g.partition, port, (WHV_NOTIFICATION_PORT_PROPERTY_CODE)2, 0), E_INVALIDARG);
    ck_hr(WHvSetNotificationPortProperty(g.partition, NULL, WHvNotificationPortPropertyPreferredTargetVp, 0),
          E_INVALIDARG);
    ck_hr(WHvSetNotificationPortProperty(NULL, port, WHvNotificationPortPropertyPreferredTargetVp, 0), E_INVALIDARG);
    ck_hr(WHvDeleteNotificationPort(NULL, port), E_INVALIDARG);
    ck_hr(WHvDeleteNotificationPort(g.partition, NULL), E_INVALIDARG);
    ck_hr(WHvDeleteNotificationPort(g.partition, &g), E_INVALIDARG);
    ck_ok(WHvCreatePartition(&p));
    ck_hr(WHvDeleteNotificationPort(p, port), E_INVALIDARG); /* another partition's */
    ck_hr(WHvCreateNotificationPort(p, &q, handle_of(fd), &port), (HRESULT)0xC0350007);
    ck_ok(WHvDeletePartition(p));
    ck_ok(WHvDeleteNotificationPort(g.partition, port));
    guest_close(&g);
    close(fd);
}
END_TEST

/* What makes no sense without a host's devices or hypervisor says so. */
START_TEST(triggers_are_not_supported)
{
    WHV_TRIGGER_PARAMETERS q;
    WHV_TRIGGER_HANDLE trigger;
    HANDLE event;
    struct guest g;
    u8 code = 0xf4;

    memset(&q, 0, sizeof q);
    guest_open(&g, GUEST_LONG, &code, 1);
    ck_hr(WHvCreateTrigger(g.partition, &q, &trigger, &event), (HRESULT)0x80070032);
    ck_hr(WHvUpdateTriggerParameters(g.partition, &q, NULL), (HRESULT)0x80070032);
    ck_hr(WHvDeleteTrigger(g.partition, NULL), (HRESULT)0x80070032);
    guest_close(&g);
}
END_TEST

Suite *ports_suite(void)
{
    Suite *s = suite_create("ports");
    TCase *t = tcase_create("notification ports");

    tcase_add_test(t, a_doorbell_port_is_a_doorbell_with_a_handle);
    tcase_add_test(t, an_event_port_is_signalled_by_its_connection);
    tcase_add_test(t, misuse_is_refused);
    tcase_add_test(t, triggers_are_not_supported);
    suite_add_tcase(s, t);
    return s;
}
