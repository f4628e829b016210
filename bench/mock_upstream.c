/* An OpenAI-compatible Chat Completions upstream for benchmarks: one thread, epoll, loopback only.
 *
 *   cc -O2 -o mock_upstream mock_upstream.c && ./mock_upstream 18000     (0 takes a free port)
 *
 * It prints "listening <port>" when it is ready. POST takes any path; prefixes of the path choose the pace:
 *   /d<ms>/...   the reply begins after <ms>
 *   /g<ms>/...   <ms> between the events of a stream; without it the whole stream is one write
 * A body with "stream":true gets 64 server-sent events (16 KB, one HTTP chunk each), any other a JSON reply of
 * 300 tokens (2 KB). GET tells how many completions were served so far, as a decimal number.
 *
 * Replies are built once, so that the mock never is the slow part: it serves more than 100,000 requests a second
 * on a core. It trusts its callers and is not an HTTP server for anything else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    WORDS_IN_REPLY = 300,
    WORDS_IN_EVENT = 5,
    EVENTS = 64, /* role, 60 of content, finish, usage, [DONE] */
    MAX_FD = 65536,
    MAX_REQUEST = 32 * 1024 * 1024,
    BATCH = 512,
};

/* ---- replies ------------------------------------------------------------------------------- */

typedef struct {
    char *data;
    size_t length, capacity;
} text;

static void *checked(void *memory) {
    if (!memory) {
        perror("mock_upstream");
        exit(1);
    }
    return memory;
}

static void append(text *to, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t more = (size_t)vsnprintf(NULL, 0, format, arguments);
    if (to->length + more + 1 > to->capacity) {
        to->capacity = 2 * (to->length + more + 1);
        to->data = checked(realloc(to->data, to->capacity));
    }
    vsnprintf(to->data + to->length, more + 1, format, again);
    to->length += more;
    va_end(arguments);
    va_end(again);
}

static void append_words(text *to, int count) {
    static const char *const words[] = {"the", "gateway", "sends",  "each", "request", "to",    "a",
                                        "model", "and",    "then",   "returns", "its", "answer", "with",
                                        "tokens", "counted", "for",  "every", "caller", "who",   "asked"};
    static int next;
    for (int i = 0; i < count; i++, next++)
        append(to, "%s%s", words[next % (int)(sizeof words / sizeof *words)], i + 1 < count ? " " : "");
}

#define USAGE "\"usage\":{\"prompt_tokens\":1200,\"completion_tokens\":300,\"total_tokens\":1500"
#define EVENT_HEAD                                                                                          \
    "data: {\"id\":\"chatcmpl-bench0001\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"     \
    "\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_bench\",\"choices\":"

static text whole_reply;    /* head and JSON body */
static text whole_stream;   /* head and all events */
static size_t event_end[EVENTS]; /* where each event ends in whole_stream; event 0 carries the head */

static void add_event(int index, const char *json) {
    append(&whole_stream, "%zx\r\n%s\r\n", strlen(json), json);
    if (index == EVENTS - 1)
        append(&whole_stream, "0\r\n\r\n");
    event_end[index] = whole_stream.length;
}

static void build_replies(void) {
    text body = {0};
    append(&body, "{\"id\":\"chatcmpl-bench0001\",\"object\":\"chat.completion\",\"created\":1760000000,"
                  "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    append_words(&body, WORDS_IN_REPLY);
    append(&body, "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE
                  ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
                  "\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
                  "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\"}");
    append(&whole_reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                         "Connection: keep-alive\r\n\r\n%s", body.length, body.data);
    free(body.data);

    append(&whole_stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                          "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
    add_event(0, EVENT_HEAD "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                            "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
    for (int i = 1; i < EVENTS - 3; i++) {
        text event = {0};
        append(&event, EVENT_HEAD "[{\"index\":0,\"delta\":{\"content\":\"");
        append_words(&event, WORDS_IN_EVENT);
        append(&event, " \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
        add_event(i, event.data);
        free(event.data);
    }
    add_event(EVENTS - 3, EVENT_HEAD "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
    add_event(EVENTS - 2, EVENT_HEAD "[]," USAGE "}}\n\n");
    add_event(EVENTS - 1, "data: [DONE]\n\n");
}

/* ---- connections --------------------------------------------------------------------------- */

typedef struct {
    int fd;
    char *in; /* bytes received and not yet taken */
    size_t in_length, in_capacity;
    const char *out; /* bytes of a prebuilt reply that the socket did not take yet */
    size_t out_length;
    bool busy; /* a request is being answered */
    bool stream;
    int gap_ms, next_event;
    int64_t due_us;
    int heap_slot; /* -1: waits for nothing */
    char count_reply[128]; /* the answer to GET differs each time, so it lives with its connection */
} connection;

static connection *connections[MAX_FD];
static int poller;
static unsigned long long served;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* Connections that wait for a moment, earliest first: a binary heap. */

static connection **heap;
static int heap_size, heap_capacity;

static void heap_set(int slot, connection *c) {
    heap[slot] = c;
    c->heap_slot = slot;
}

static void heap_settle(int slot) {
    connection *c = heap[slot];
    for (; slot && heap[(slot - 1) / 2]->due_us > c->due_us; slot = (slot - 1) / 2)
        heap_set(slot, heap[(slot - 1) / 2]);
    for (int child; (child = 2 * slot + 1) < heap_size; slot = child) {
        if (child + 1 < heap_size && heap[child + 1]->due_us < heap[child]->due_us)
            child++;
        if (heap[child]->due_us >= c->due_us)
            break;
        heap_set(slot, heap[child]);
    }
    heap_set(slot, c);
}

static void wait_until(connection *c, int64_t due_us) {
    if (heap_size == heap_capacity) {
        heap_capacity = heap_capacity ? 2 * heap_capacity : 1024;
        heap = checked(realloc(heap, (size_t)heap_capacity * sizeof *heap));
    }
    c->due_us = due_us;
    heap_set(heap_size++, c);
    heap_settle(c->heap_slot);
}

static void wait_no_more(connection *c) {
    int slot = c->heap_slot;
    if (slot < 0)
        return;
    c->heap_slot = -1;
    connection *last = heap[--heap_size];
    if (last != c) {
        heap_set(slot, last);
        heap_settle(slot);
    }
}

static void watch(connection *c, int operation, bool writable) {
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.fd = c->fd};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void close_connection(connection *c) {
    wait_no_more(c);
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c);
}

/* The functions below that return bool return false when they closed the connection. */

static bool send_bytes(connection *c, const char *bytes, size_t length) {
    while (length) {
        ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            c->out = bytes;
            c->out_length = length;
            watch(c, EPOLL_CTL_MOD, true);
            return true;
        }
        if (sent < 0) {
            close_connection(c);
            return false;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* What is due now: the reply, or the next event of a paced stream. */
static bool answer(connection *c) {
    if (c->stream && c->gap_ms) {
        if (c->out_length) { /* the reader is slower than the pace */
            wait_until(c, c->due_us + 1000);
            return true;
        }
        int i = c->next_event++;
        size_t begin = i ? event_end[i - 1] : 0;
        if (c->next_event < EVENTS)
            wait_until(c, c->due_us + c->gap_ms * 1000LL);
        else
            c->busy = false;
        return send_bytes(c, whole_stream.data + begin, event_end[i] - begin);
    }
    c->busy = false;
    const text *reply = c->stream ? &whole_stream : &whole_reply;
    return send_bytes(c, reply->data, reply->length);
}

/* ---- requests ------------------------------------------------------------------------------ */

/* Length of the whole request at the head of the buffer, 0 when it is not complete; *body is where its body begins. */
static size_t complete_request(const connection *c, size_t *body) {
    const char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    *body = (size_t)(end - c->in) + 4;
    size_t total = *body;
    for (const char *line = c->in; line < end;) {
        if (!strncasecmp(line, "content-length:", 15))
            total = *body + strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding:", 18)) {
            const char *last = memmem(c->in + *body, c->in_length - *body, "0\r\n\r\n", 5);
            return last ? (size_t)(last - c->in) + 5 : 0;
        }
        line = (const char *)memmem(line, (size_t)(end + 2 - line), "\r\n", 2) + 2;
    }
    return c->in_length < total ? 0 : total;
}

static bool handle(connection *c, size_t body, size_t total) {
    if (!memcmp(c->in, "GET ", 4)) {
        char number[24];
        int digits = snprintf(number, sizeof number, "%llu", served);
        int length = snprintf(c->count_reply, sizeof c->count_reply,
                              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", digits, number);
        return send_bytes(c, c->count_reply, (size_t)length);
    }
    int delay_ms = 0;
    c->gap_ms = 0;
    const char *path = memchr(c->in, ' ', body);
    for (path = path ? path + 1 : ""; path[0] == '/'; path += 2 + strspn(path + 2, "0123456789")) {
        if (path[1] == 'd' && path[2] >= '0' && path[2] <= '9')
            delay_ms = atoi(path + 2);
        else if (path[1] == 'g' && path[2] >= '0' && path[2] <= '9')
            c->gap_ms = atoi(path + 2);
        else
            break;
    }
    c->stream = memmem(c->in + body, total - body, "\"stream\":true", 13) ||
                memmem(c->in + body, total - body, "\"stream\": true", 14);
    c->busy = true;
    c->next_event = 0;
    served++;
    if (delay_ms) {
        wait_until(c, now_us() + delay_ms * 1000LL);
        return true;
    }
    c->due_us = now_us();
    return answer(c);
}

static bool take_requests(connection *c) {
    while (!c->busy && !c->out_length && c->in_length) {
        size_t body, total = complete_request(c, &body);
        if (!total)
            return true;
        if (!handle(c, body, total))
            return false;
        memmove(c->in, c->in + total, c->in_length - total);
        c->in_length -= total;
    }
    return true;
}

static bool receive(connection *c) {
    if (c->in_capacity - c->in_length < 8192) {
        if (c->in_capacity >= MAX_REQUEST) {
            close_connection(c);
            return false;
        }
        c->in_capacity *= 2;
        c->in = checked(realloc(c->in, c->in_capacity));
    }
    ssize_t got = recv(c->fd, c->in + c->in_length, c->in_capacity - c->in_length, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        close_connection(c);
        return false;
    }
    if (got > 0)
        c->in_length += (size_t)got;
    return take_requests(c);
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection *c = checked(calloc(1, sizeof *c));
        c->fd = fd;
        c->heap_slot = -1;
        c->in_capacity = 16384;
        c->in = checked(malloc(c->in_capacity));
        connections[fd] = c;
        watch(c, EPOLL_CTL_ADD, false);
    }
}

static void on_event(const struct epoll_event *event) {
    connection *c = connections[event->data.fd];
    if (!c) /* closed earlier in this batch */
        return;
    if (event->events & EPOLLOUT && c->out_length) {
        size_t length = c->out_length;
        c->out_length = 0;
        watch(c, EPOLL_CTL_MOD, false);
        if (!send_bytes(c, c->out, length) || !take_requests(c))
            return;
    }
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(c);
}

static void answer_due(void) {
    int64_t now = now_us();
    while (heap_size && heap[0]->due_us <= now) {
        connection *c = heap[0];
        wait_no_more(c);
        if (answer(c) && !c->busy)
            take_requests(c);
    }
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 8192)) {
        perror("mock_upstream");
        exit(1);
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **arguments) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it must not outlive the benchmark */
    build_replies();
    int listener = listen_on(count > 1 ? atoi(arguments[1]) : 18000);
    poller = epoll_create1(0);
    struct epoll_event interest = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        int64_t left_us = heap_size ? heap[0]->due_us - now_us() : -1;
        int timeout_ms = !heap_size ? -1 : left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
        int ready = epoll_wait(poller, events, BATCH, timeout_ms);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                on_event(&events[i]);
        }
        answer_due();
    }
}
