"""The broker, as the stages see it. The only file that imports pika.

A `Link` is one session: a connection to publish and one to consume, served by one I/O thread. It
fails as a whole: when either connection goes, every subscription is told, every unconfirmed publish
is answered with False, `check()` raises LinkLost, and the stage's retry loop builds a new one.
Calls block for a bounded time and may come from any thread; callbacks run on the I/O thread and
must return at once. Each subscription has a channel of its own, so work is given back by closing
it, and an acknowledgement that comes after that is dropped.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pika
from pika import exceptions as amqp
from pika.adapters.select_connection import IOLoop
from prometheus_client import Counter
from pydantic import SecretStr

from shared.clock import SystemClock
from shared.errors import (
    BrokerUnavailable,
    LinkLost,
    Misconfigured,
    NoAnswer,
    NotConfirmed,
    QueueAway,
    SeatTaken,
    Unavailable,
)
from shared.log import redact
from shared.topology import EXCHANGES, LOST, Queue
from shared.tracing import TRACEPARENT, context_in

CALL_TIMEOUT_SECONDS = 10.0
QUEUE_TIMEOUT_SECONDS = 5.0
"""After so long a queue that says nothing is away. RabbitMQ 4.3 looks 65 s for one whose node is
lost (`rabbit_amqqueue:with`, 2,000 times 30 ms), where 3.10 refuses; others answer meanwhile."""
IMPATIENT_SECONDS = 0.25
"""As long for the next ones: a node that is lost has many, and they are asked one after another."""
MEMORY_SECONDS = 120.0
"""Since the last queue was silent, for so long the next ones get no more time."""
BLOCKED_TIMEOUT_SECONDS = 30.0
CLOSE_TIMEOUT_SECONDS = 3.0
CUT_SECONDS = 0.5
"""For the socket of a connection that was cut to be closed."""
NOT_FOUND = 404
UNSENT_LIVE_LIMIT = 1_000
"""Live messages that wait for the I/O thread; beyond this they are dropped: live is never old."""

DROPPED = Counter(
    "cradle_link_dropped_messages_total", "Live messages that the broker did not take."
)

T = TypeVar("T")
Headers = Mapping[str, str | int]
_Unsent = tuple[str, str, bytes, Any]
"""Exchange, routing key, body and properties, as they are published."""


class _NotThere(Unavailable):
    """No queue or exchange has this name."""


@dataclass(frozen=True)
class QueueState:
    """What the broker says of a queue."""

    messages: int
    consumers: int


class Delivery:
    """One message from the broker, held until it is acknowledged or its channel closes."""

    def __init__(
        self, link: "Link", channel: Any, method: Any, properties: Any, body: bytes
    ) -> None:
        self.body = body
        self.headers: dict[str, Any] = dict(properties.headers or {})
        self.redelivered: bool = method.redelivered
        self.routing_key: str = method.routing_key
        self.exchange: str = method.exchange
        self.tag: int = method.delivery_tag
        self._link = link
        self._channel = channel

    def ack(self) -> None:
        """Done with this message. Dropped silently when its channel is gone."""
        self._link.call_soon(self._ack, False)

    def ack_up_to(self) -> None:
        """Done with this message and every earlier one of its subscription."""
        self._link.call_soon(self._ack, True)

    def _ack(self, multiple: bool) -> None:
        if self._channel.is_open:
            self._channel.basic_ack(self.tag, multiple=multiple)


class Subscription:
    """A consumer on a channel of its own. With `exclusive`, it is a seat."""

    def __init__(self, link: "Link", queue: str, on_closed: Callable[[str], None]) -> None:
        self.queue = queue
        self.closed = False
        self._link = link
        self._on_closed = on_closed
        self._channel: Any = None

    def close(self) -> None:
        """Give back what is not acknowledged, in order, and the seat. Returns when it is done."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(Unavailable):  # a lost link has given everything back already
            self._link.wait_for(self._close)

    def _close(self, done: "Future[None]") -> None:
        if self._channel is None or not self._channel.is_open:
            done.set_result(None)
            return
        self._channel.add_on_close_callback(lambda *_: done.set_result(None))
        self._end_with_channel()
        self._channel.close()

    def _end_with_channel(self) -> None:
        """Before its channel closes: pika would cancel the consumer first.

        That frees the seat a moment before what is held is back; and what a quorum queue sends
        meanwhile comes back in any order, before the rest (seen on 3.10.8). A consumer that ends
        with its channel gives everything back in order.
        """
        self._channel._cancelled.update(self._channel.consumer_tags)

    def _ended(self, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._on_closed(reason)


class Link:
    """One session with the broker."""

    def __init__(self, url: SecretStr, name: str, heartbeat_seconds: int = 10) -> None:
        self._url = url
        self._name = name
        self._heartbeat_seconds = heartbeat_seconds
        self._loop: Any = IOLoop()
        self._thread = threading.Thread(target=self._run, name=f"link-{name}", daemon=True)
        self._loop_lock = threading.Lock()
        self._loop_closed = False
        self._lost: str | None = None
        self._give_up_at: float | None = None
        self._connections: dict[str, Any] = {}
        self._was_cut: list[Any] = []
        self._live: Any = None
        self._confirmed: Any = None
        self._control: Any = None
        self._opened: Future[None] = Future()
        self._declaring: Future[QueueState] | None = None
        self._getting: Future[Delivery | None] | None = None
        self._declare_lock = threading.Lock()
        self._silent: set[str] = set()
        """Queues that were asked for, and whose answer has not come yet."""
        self._left: set[Any] = set()
        """The channels on which those answers will come."""
        self._impatient_until = 0.0
        self._unconfirmed: dict[int, Callable[[bool], None]] = {}
        self._next_tag = 0
        self._unsent_live: deque[_Unsent] = deque()
        self._live_called = False
        self._unsent_confirmed: deque[tuple[_Unsent, Callable[[bool], None]]] = deque()
        self._subscriptions: list[Subscription] = []

    # -- life ---------------------------------------------------------------------------------

    def open(self, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> None:
        """Connect, and declare the exchanges unless they are there.

        Raises Unavailable if the broker is away, Misconfigured if it refuses us.
        """
        self._thread.start()
        self.call_soon(self._connect)
        try:
            self._opened.result(timeout_seconds)
        except FutureTimeoutError:
            self.close()
            raise NoAnswer(
                f"the broker at {self.address} did not answer in {timeout_seconds:g} s"
            ) from None
        except (Unavailable, Misconfigured):
            self.close()
            raise

    @property
    def address(self) -> str:
        """`amqp://host:port/vhost`, without user and password."""
        parts = urlsplit(self._url.get_secret_value())
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def server_version(self) -> str:
        """The broker's version in its own words; empty before `open`."""
        properties = getattr(self._connections.get("consume"), "server_properties", None) or {}
        return str(properties.get("version", ""))

    def check(self) -> None:
        """Raises LinkLost once the session has failed."""
        if self._lost is not None:
            raise LinkLost(self._lost)

    def close(self) -> None:
        """End the session; what is unacknowledged goes back to the broker."""
        if not self._thread.is_alive():
            return
        self.call_soon(self._close_connections)
        self._thread.join(2 * CLOSE_TIMEOUT_SECONDS)

    def __enter__(self) -> "Link":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- calls from other threads -------------------------------------------------------------

    def call_soon(self, function: Callable[..., None], *arguments: Any) -> bool:
        """Run `function` on the I/O thread; False, and nothing happens, once that has ended."""
        with self._loop_lock:
            if not self._loop_closed:
                self._loop.add_callback_threadsafe(partial(function, *arguments))
            return not self._loop_closed

    def wait_for(
        self,
        start: Callable[["Future[T]"], None],
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> T:
        """Run `start` on the I/O thread and wait for the future it is given.

        Raises LinkLost if the session fails meanwhile, Unavailable on time-out.
        """
        self.check()
        future: Future[T] = Future()
        self.call_soon(start, future)
        waited = 0.0
        while True:
            try:
                return future.result(0.25)
            except FutureTimeoutError:
                self.check()
                waited += 0.25
                if waited >= timeout_seconds:
                    raise NoAnswer(
                        f"the broker did not answer a call in {timeout_seconds:g} s"
                    ) from None

    # -- topology -----------------------------------------------------------------------------

    def declare(self, queue: Queue) -> QueueState:
        """Declare a queue with its bindings; says how full it is and how many consume it.

        Raises Misconfigured if it is there with other arguments, QueueAway if its node is away.
        """
        with self._declare_lock:
            return self._ask(queue)

    def look_at(self, queue: Queue) -> QueueState | None:
        """As `declare`, but makes nothing and needs no right; None if the queue is not there."""
        with self._declare_lock:
            try:
                return self._ask(queue, passive=True)
            except _NotThere:
                return None

    def _ask(self, queue: Queue, *, passive: bool = False) -> QueueState:
        """Raises QueueAway if the queue says nothing: then it is asked again after its answer.

        That the broker opens another channel for us tells it from one that is silent as a whole.
        """
        if queue.name in self._silent:
            raise QueueAway(f"a node of the broker is away: {queue.name} has not answered yet")
        is_impatient = time.monotonic() < self._impatient_until
        patience_seconds = IMPATIENT_SECONDS if is_impatient else QUEUE_TIMEOUT_SECONDS
        start: Callable[[Future[QueueState]], None] = partial(self._declare, queue, passive=passive)
        try:
            return self.wait_for(start, patience_seconds)
        except NoAnswer:
            self._silent.add(queue.name)
            self.call_soon(self._leave, queue.name)

        def opened(done: "Future[None]") -> None:
            self._on_control(lambda _channel: done.set_result(None))

        self.wait_for(opened, CALL_TIMEOUT_SECONDS - patience_seconds)
        if queue.name not in self._silent:  # it has answered meanwhile: all of the broker was slow
            return self.wait_for(start, QUEUE_TIMEOUT_SECONDS)
        self._impatient_until = time.monotonic() + MEMORY_SECONDS
        raise QueueAway(
            f"a node of the broker is away: {queue.name} did not answer in {patience_seconds:g} s"
        )

    def _leave(self, queue: str) -> None:
        """Let the channel wait for the answer of this queue; the next one is asked on another."""
        channel, done = self._control, self._declaring
        self._declaring = None
        if channel is None or not channel.is_open or done is None or done.done():
            self._silent.discard(queue)  # it has answered meanwhile, or its channel is no more
            return
        self._control = None
        self._left.add(channel)

        def heard(done: "Future[QueueState]") -> None:
            self._silent.discard(queue)
            if done.exception() is None:  # slow, not lost: the next ones get their time again
                self._impatient_until = 0.0
            if channel.is_open:
                channel.close()

        def closed(*_: object) -> None:
            self._left.discard(channel)
            self._silent.discard(queue)

        channel.add_on_close_callback(closed)
        done.add_done_callback(heard)

    def _on_control(self, act: Callable[[Any], None]) -> None:
        """Do something with the channel on which queues are asked, which may have to be opened."""
        if self._control is not None and self._control.is_open:
            act(self._control)
            return

        def opened(channel: Any) -> None:
            if self._control is not None and self._control.is_open:
                channel.close()  # one that was given up opened late
            else:
                self._control = channel
                channel.add_on_close_callback(self._control_closed)
                empty = [pika.spec.Basic.GetEmpty]
                channel.add_callback(self._nothing_to_get, empty, one_shot=False)
            act(self._control)

        self._connections["consume"].channel(on_open_callback=opened)

    def _declare(self, queue: Queue, done: "Future[QueueState]", *, passive: bool = False) -> None:
        def act(channel: Any) -> None:
            if self._declaring is done:  # not given up meanwhile
                self._declare_on(channel, queue, done, passive)

        self._declaring = done
        self._on_control(act)

    def _declare_on(
        self, channel: Any, queue: Queue, done: "Future[QueueState]", passive: bool
    ) -> None:
        left = [] if passive else list(queue.bindings)
        state: list[QueueState] = []

        def next_binding(_frame: Any) -> None:
            if left:
                exchange, key = left.pop()
                channel.queue_bind(queue.name, exchange, key, callback=next_binding)
            elif not done.done():
                if self._declaring is done:
                    self._declaring = None
                done.set_result(state[0])

        def declared(frame: Any) -> None:
            state.append(QueueState(frame.method.message_count, frame.method.consumer_count))
            next_binding(frame)

        channel.queue_declare(
            queue.name,
            passive=passive,
            durable=True,
            arguments=dict(queue.arguments),
            callback=declared,
        )

    def _control_closed(self, channel: Any, reason: Exception) -> None:
        if channel is not self._control:
            return
        self._control = None
        if self._declaring is not None and not self._declaring.done():
            self._declaring.set_exception(_translate_channel(reason))
        self._declaring = None

    # -- publishing ---------------------------------------------------------------------------

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        *,
        headers: Headers | None = None,
        persistent: bool = False,
    ) -> None:
        """Send and forget. Never blocks; dropped and counted when the broker does not keep up."""
        if self._lost is not None or len(self._unsent_live) >= UNSENT_LIVE_LIMIT:
            DROPPED.inc()
            return
        self._unsent_live.append((exchange, key, body, _properties(headers, persistent)))
        if not self._live_called:
            self._live_called = True
            self.call_soon(self._publish_live)

    def _publish_live(self) -> None:
        self._live_called = False  # before they are taken: none is left without a call
        while self._unsent_live:
            unsent = self._unsent_live.popleft()
            if self._live is None or not self._live.is_open or self._blocked:
                DROPPED.inc()
            else:
                self._live.basic_publish(*unsent)

    @property
    def _blocked(self) -> bool:
        return bool(getattr(self._connections.get("publish"), "cradle_blocked", False))

    def publish_confirmed(
        self,
        exchange: str,
        key: str,
        body: bytes,
        *,
        headers: Headers | None = None,
        on_result: Callable[[bool], None],
    ) -> None:
        """Send a persistent message; `on_result(True)` once the broker has it safe, else False.

        The caller bounds how many it has under way.
        """
        unsent = (exchange, key, body, _properties(headers, persistent=True))
        self._unsent_confirmed.append((unsent, on_result))
        if not self.call_soon(self._publish_confirmed):
            self._refuse_unsent()

    def _publish_confirmed(self) -> None:
        while self._unsent_confirmed:
            unsent, on_result = self._unsent_confirmed.popleft()
            if self._lost is not None or self._confirmed is None or not self._confirmed.is_open:
                on_result(False)
                continue
            self._next_tag += 1
            self._unconfirmed[self._next_tag] = on_result
            self._confirmed.basic_publish(*unsent)

    def _refuse_unsent(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._unsent_confirmed.popleft()[1](False)

    def publish_and_wait(
        self,
        exchange: str,
        key: str,
        body: bytes,
        *,
        headers: Headers | None = None,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> None:
        """Send a persistent message and wait until the broker has it safe.

        Raises NotConfirmed if a queue that wants it cannot take it, LinkLost or Unavailable when
        nothing can be said.
        """

        def start(done: "Future[bool]") -> None:
            unsent = (exchange, key, body, _properties(headers, persistent=True))
            self._unsent_confirmed.append((unsent, done.set_result))
            self._publish_confirmed()

        if not self.wait_for(start, timeout_seconds):
            self.check()
            raise NotConfirmed("the broker did not confirm a message")

    def _confirm(self, frame: Any) -> None:
        tag = frame.method.delivery_tag
        good = isinstance(frame.method, pika.spec.Basic.Ack)
        if frame.method.multiple:  # tags stand in rising order
            tags = list(takewhile(lambda each: tag == 0 or each <= tag, self._unconfirmed))
        else:
            tags = [tag] if tag in self._unconfirmed else []
        for each in tags:
            self._unconfirmed.pop(each)(good)

    def send_to_lost(
        self, delivery: Delivery, reason: str, *, then: Callable[[], None] | None = None
    ) -> None:
        """Put a message that cannot be obeyed where people find it, then acknowledge it.

        `then` is called instead of the acknowledgement: for who acknowledges in order.
        """
        headers: dict[str, str | int] = {
            "x-cradle-reason": redact(reason)[:500],
            "x-cradle-exchange": delivery.exchange,
            "x-cradle-routing-key": delivery.routing_key,
            "x-cradle-worker": self._name,
            "x-cradle-lost-at": SystemClock().now().isoformat(timespec="milliseconds"),
        }
        if context_in(delivery.headers) is not None:  # it goes on when the message is sent again
            headers[TRACEPARENT] = delivery.headers[TRACEPARENT]

        def confirmed(good: bool) -> None:
            if good:
                (then or delivery.ack)()

        self.publish_confirmed(
            LOST, delivery.routing_key, delivery.body, headers=headers, on_result=confirmed
        )

    # -- consuming ----------------------------------------------------------------------------

    def consume(
        self,
        queue: Queue,
        *,
        prefetch: int,
        exclusive: bool,
        on_delivery: Callable[[Delivery], None],
        on_closed: Callable[[str], None],
    ) -> Subscription:
        """Declare, bind and consume a queue. Raises SeatTaken if another consumer has it alone."""
        self.declare(queue)
        subscription = Subscription(self, queue.name, on_closed)

        def start(done: "Future[Subscription]") -> None:
            self._consume(subscription, prefetch, exclusive, on_delivery, done)

        try:
            return self.wait_for(start)
        except Unavailable:
            subscription.close()
            raise

    def _consume(
        self,
        subscription: Subscription,
        prefetch: int,
        exclusive: bool,
        on_delivery: Callable[[Delivery], None],
        done: "Future[Subscription]",
    ) -> None:
        def delivered(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            on_delivery(Delivery(self, channel, method, properties, body))

        def consuming(_frame: Any) -> None:
            if subscription.closed:  # its caller has given up waiting
                subscription._channel.close()
                return
            self._subscriptions.append(subscription)
            done.set_result(subscription)

        def closed(_channel: Any, reason: Exception) -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
            if done.done():
                subscription._ended(_words(reason))
            elif not subscription.closed:
                done.set_exception(_translate_channel(reason))

        def opened(channel: Any) -> None:
            subscription._channel = channel
            channel.add_on_close_callback(closed)
            channel.add_on_cancel_callback(lambda _frame: channel.close(0, "queue deleted"))
            channel.basic_qos(prefetch_count=prefetch)
            channel.basic_consume(
                subscription.queue, delivered, exclusive=exclusive, callback=consuming
            )

        self._connections["consume"].channel(on_open_callback=opened)

    def get(self, queue: Queue) -> Delivery | None:
        """Take one message off a queue, None if there is none. Unacknowledged, it returns later."""

        def start(done: "Future[Delivery | None]") -> None:
            if self._control is None or not self._control.is_open:
                done.set_exception(Unavailable("the control channel is closed; try again"))
                return

            def got(channel: Any, method: Any, properties: Any, body: bytes) -> None:
                done.set_result(Delivery(self, channel, method, properties, body))

            self._getting = done
            self._control.basic_get(queue.name, got)

        with self._declare_lock:
            self._ask(queue)
            return self.wait_for(start)

    def _nothing_to_get(self, _frame: Any) -> None:
        if self._getting is not None and not self._getting.done():
            self._getting.set_result(None)

    # -- the I/O thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.start()
        except Exception as error:  # whatever broke it, the session is over and must say so
            self._fail(f"the link's I/O thread ended: {redact(repr(error))}")
        self._fail("the link was closed")
        with self._loop_lock:
            self._loop_closed = True
            self._loop.close()
        self._refuse_unsent()

    def _connect(self) -> None:
        for role in ("publish", "consume"):
            parameters = pika.URLParameters(self._url.get_secret_value())
            parameters.heartbeat = self._heartbeat_seconds
            parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_SECONDS
            parameters.socket_timeout = 5
            parameters.stack_timeout = 8
            parameters.connection_attempts = 1
            parameters.client_properties = {"connection_name": f"{self._name} {role}"}
            self._connections[role] = pika.SelectConnection(
                parameters,
                on_open_callback=partial(self._connected, role),
                on_open_error_callback=self._not_connected,
                on_close_callback=self._disconnected,
                custom_ioloop=self._loop,
            )

    def _connected(self, role: str, connection: Any) -> None:
        if role == "consume":
            self._check_open()
            return

        def block(_connection: Any, _method: Any) -> None:
            connection.cradle_blocked = True

        def unblock(_connection: Any, _method: Any) -> None:
            connection.cradle_blocked = False

        connection.add_on_connection_blocked_callback(block)
        connection.add_on_connection_unblocked_callback(unblock)
        connection.channel(on_open_callback=self._live_opened)

    def _live_opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._publish_channel_closed)
        self._live = channel
        self._connections["publish"].channel(on_open_callback=self._look_for_exchanges)

    def _look_for_exchanges(self, channel: Any) -> None:
        """Make the exchanges only if one is missing: for looking a user needs no right."""
        left = list(EXCHANGES)

        def next_exchange(_frame: Any) -> None:
            if left:
                channel.exchange_declare(left.pop(), passive=True, callback=next_exchange)
            else:
                channel.close()

        def closed(_channel: Any, reason: Exception) -> None:
            connection = self._connections["publish"]
            if connection.is_open:
                missing = EXCHANGES if getattr(reason, "reply_code", 0) == NOT_FOUND else ()
                opened = partial(self._confirmed_opened, missing)
                connection.channel(on_open_callback=opened)

        channel.add_on_close_callback(closed)
        next_exchange(None)

    def _confirmed_opened(self, missing: Sequence[str], channel: Any) -> None:
        channel.add_on_close_callback(self._publish_channel_closed)
        left = list(missing)

        def next_exchange(_frame: Any) -> None:
            if left:
                channel.exchange_declare(left.pop(), "topic", durable=True, callback=next_exchange)
            else:
                channel.confirm_delivery(self._confirm, callback=ready)

        def ready(_frame: Any) -> None:
            self._confirmed = channel
            self._check_open()

        next_exchange(None)

    def _check_open(self) -> None:
        consume = self._connections.get("consume")
        ready = self._confirmed is not None and consume is not None and consume.is_open
        if ready and not self._opened.done():
            self._opened.set_result(None)

    def _not_connected(self, _connection: Any, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(_translate_connection(error, self.address))
        self._fail("the broker could not be reached")

    def _disconnected(self, _connection: Any, reason: Exception) -> None:
        self._fail(f"the connection to the broker ended: {_words(reason)}")
        self._close_connections()

    def _publish_channel_closed(self, _channel: Any, reason: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(_translate_channel(reason))
        self._fail(f"the broker closed the publishing channel: {_words(reason)}")

    def _fail(self, reason: str) -> None:
        """The session is over. Tell everybody once."""
        if self._lost is not None:
            return
        self._lost = reason
        if not self._opened.done():
            self._opened.set_exception(Unavailable(f"the broker at {self.address}: {reason}"))
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for on_result in unconfirmed.values():
            on_result(False)
        for subscription in list(self._subscriptions):
            subscription._ended(reason)

    def _close_connections(self) -> None:
        if self._give_up_at is not None:
            return
        self._give_up_at = time.monotonic() + CLOSE_TIMEOUT_SECONDS
        for subscription in self._subscriptions:
            subscription._end_with_channel()
        for connection in self._connections.values():
            with contextlib.suppress(amqp.AMQPError):  # it is closing or closed already
                connection.close()
        self._stop_when_closed()

    def _stop_when_closed(self) -> None:
        late_seconds = time.monotonic() - (self._give_up_at or 0)
        still = [each for each in self._connections.values() if not each.is_closed]
        for connection in still:
            channels = set(connection._channels.values())
            if late_seconds > 0 or (channels and channels <= self._left):
                self._cut(connection)
        if not still or late_seconds > CUT_SECONDS:
            self._loop.stop()
        else:
            self._loop.call_later(0.02, self._stop_when_closed)

    def _cut(self, connection: Any) -> None:
        """End it without the broker, once: pika would wait for every answer that is owed."""
        if connection not in self._was_cut:
            self._was_cut.append(connection)
            with contextlib.suppress(amqp.AMQPError):
                connection._terminate_stream(None)


def _properties(headers: Headers | None, persistent: bool) -> Any:
    return pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2 if persistent else 1,
        headers=dict(headers) if headers else None,
    )


def _words(reason: BaseException) -> str:
    text = getattr(reason, "reply_text", "") or str(reason) or type(reason).__name__
    return redact(text)


def _translate_channel(reason: BaseException) -> Exception:
    code = getattr(reason, "reply_code", 0)
    if code == 403 and "exclusive" in _words(reason):
        return SeatTaken(_words(reason))
    if code == 403:
        return Misconfigured(f"the broker refuses this user: {_words(reason)}")
    if code == 406:
        return Misconfigured(
            f"a queue on the broker was made with other arguments ({_words(reason)}); stop the "
            "workers, let the queue run empty and delete it with `rabbitmqctl delete_queue NAME`"
        )
    if code == NOT_FOUND and "NOT_FOUND - no " in _words(reason):
        return _NotThere(_words(reason))
    if code == NOT_FOUND:  # it is there, and out of reach
        return QueueAway(f"a node of the broker is away: {_words(reason)}")
    return Unavailable(f"the broker closed a channel: {_words(reason)}")


def _translate_connection(error: BaseException, address: str) -> Exception:
    causes: list[BaseException] = [error]
    for cause in causes:  # pika wraps what happened in up to three layers; the list grows
        inner = [getattr(cause, "exception", None), *getattr(cause, "exceptions", ()), *cause.args]
        causes += [each for each in inner if isinstance(each, BaseException)]
    for cause in causes:
        if isinstance(cause, amqp.ProbableAuthenticationError | amqp.AuthenticationError):
            return Misconfigured(
                f"broker.url: {address} refuses the user or password; mend broker.url"
            )
        if isinstance(cause, amqp.ProbableAccessDeniedError):
            return Misconfigured(f"broker.url: {address} refuses this virtual host to this user")
    return BrokerUnavailable(f"the broker at {address} cannot be reached: {_words(causes[-1])}")
