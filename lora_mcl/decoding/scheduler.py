"""Continuous batching: requests from many threads share the engine's steps.

A request waits, first in first out, until there is room; then its prompt is encoded and prefilled, and its rows join
those of the running requests at the next step. There is one forward a step for all of them. It leaves when its columns
are done, when its ``should_stop`` is true or when its iterator is closed.

Of the callers that wait for an event, one runs the next step for all, and then each continues: nothing runs when no
caller waits. A single caller computes in its own thread. Steps of several are computed in one thread of the scheduler,
whoever runs them: the libraries behind torch keep buffers for each thread that has ever computed, tens of megabytes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from lora_mcl.decoding.engine import DecodeBatch, DecodeRequest, Engine
from lora_mcl.decoding.logits_processor import DEFAULT_LOGITS_OPTIONS, LogitsOptions
from lora_mcl.decoding.options import SchedulerOptions
from lora_mcl.decoding.request import ColumnRequest, Prompt, StepEvent

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Requests that may join at a step: encoding and prefilling more would keep the running ones waiting for long.
NEWCOMERS = 4


@dataclass(eq=False)
class _Job:
    """A call of ``Scheduler.decode``; ``request`` is None until it has been encoded."""

    encode: Callable[[], Prompt]
    make_request: Callable[[Prompt], DecodeRequest]
    should_stop: Callable[[], bool] | None
    request: DecodeRequest | None = None
    # Events that its caller has not taken yet, and whether the last one is among them, or no caller waits for it.
    events: deque[StepEvent | BaseException] = field(default_factory=deque)
    is_over: bool = False

    def deliver(self, event: StepEvent | BaseException) -> None:
        """Add an event for the caller; an error is the last one."""
        self.is_over = self.is_over or isinstance(event, BaseException) or event.done
        self.events.append(event)

    def check_stop(self) -> None:
        """Call ``should_stop``; if it is true or raises, the job is over."""
        if self.is_over or self.should_stop is None:
            return
        try:
            if self.should_stop():
                stopped = StepEvent(0, {}, frozenset(), done=True, stopped=True)
                self.deliver(self.request.stop() if self.request else stopped)
        except Exception as error:
            self.deliver(error)


class Scheduler:
    """Runs the requests of many threads in one DecodeBatch."""

    def __init__(self, engine: Engine, options: SchedulerOptions | None = None) -> None:
        self._engine = engine
        self._options = options or SchedulerOptions()
        self._batch = DecodeBatch(engine)
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._logged_turns = False
        # The thread that has the turn runs the step: it alone touches the model, the batch and the two lists' jobs.
        self._has_turn = False
        self._changed = threading.Condition()
        # Its thread starts with the first step of several callers.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scheduler")

    def decode(
        self,
        encode: Callable[[], Prompt],
        columns: Sequence[ColumnRequest],
        *,
        max_new_tokens: int,
        logits_options: LogitsOptions = DEFAULT_LOGITS_OPTIONS,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[StepEvent, None, None]:
        """Decode columns together with those of other callers; each gives what it would give alone.

        May be called, and its iterator advanced and closed, by any thread. Events of steps that other callers ran
        are kept until they are asked for.

        Args:
            encode: makes the prompts; called once, when the request is admitted, while nothing else uses the model.
            columns, max_new_tokens, logits_options: as in ``Engine.decode``.
            should_stop: called before every step while the request waits or runs, in the thread that computes it.

        Yields:
            One event per step; the last has ``done`` set.

        Raises:
            OptionsError: the request contradicts itself, or does not fit the model or the prompt. Raised with the
                first event, as are the errors of ``encode``.
        """

        def make_request(prompt: Prompt) -> DecodeRequest:
            return self._engine.request(prompt, columns, max_new_tokens=max_new_tokens, logits_options=logits_options)

        job = _Job(encode, make_request, should_stop)
        with self._changed:
            self._waiting.append(job)
        try:
            while True:
                event = self._next_event(job)
                if isinstance(event, BaseException):
                    raise event
                yield event
                if event.done:
                    return
        finally:
            self._close(job)

    def run(self, work: Callable[[], Result]) -> Result:
        """Call ``work`` between two steps, while nothing else uses the model, and return its result."""
        with self._changed:
            while self._has_turn:
                self._changed.wait()
            self._has_turn = True
        try:
            return self._compute(work, callers=1 + len(self._running) + len(self._waiting))
        finally:
            self._end_turn()

    def _next_event(self, job: _Job) -> StepEvent | BaseException:
        """The job's next event; if there is none and no thread runs a step, this thread runs it."""
        while True:
            with self._changed:
                while not job.events and self._has_turn:
                    self._changed.wait()
                if job.events:
                    return job.events.popleft()
                self._has_turn = True
            try:
                self._compute(self._step, callers=len(self._running) + len(self._waiting))
            finally:
                self._end_turn()

    def _compute(self, work: Callable[[], Result], callers: int) -> Result:
        """Call ``work`` in this thread, or in the scheduler's where there are several callers."""
        if callers == 1:
            return work()
        future = self._thread.submit(work)
        try:
            return future.result()
        except BaseException:
            # Interrupted: the step goes on, and the turn must not end before it.
            wait([future])
            raise

    def _close(self, job: _Job) -> None:
        """Free what a job holds, now or when the step that is running ends."""
        job.is_over = True
        with self._changed:
            if self._has_turn:
                return
            self._has_turn = True
        self._end_turn()

    def _end_turn(self) -> None:
        with self._changed:
            # Under the lock, so that no close comes between the last look and the end of the turn.
            self._remove_over()
            self._has_turn = False
            self._changed.notify_all()

    def _remove_over(self) -> None:
        """Remove the jobs that are over from the queue and the batch; called under the lock."""
        self._waiting = deque(job for job in self._waiting if not job.is_over)
        for job in [job for job in self._running if job.is_over]:
            self._running.remove(job)
            if job.request in self._batch.requests:
                self._batch.remove(job.request)

    def _step(self) -> None:
        """One forward for all running requests, and the prefill of those that there is room for."""
        with self._changed:
            jobs = (*self._running, *self._waiting)
        for job in jobs:
            job.check_stop()
        with self._changed:
            self._remove_over()
        try:
            if self._running:
                self._batch.forward()
            self._admit()
            if self._running:
                self._deliver()
        except BaseException as error:
            # The model itself failed, and the cache may be half written: no request can go on.
            for job in self._running:
                job.deliver(error)
            self._batch.free()
            self._running = []
            if not isinstance(error, Exception):
                raise

    def _deliver(self) -> None:
        """Choose the next tokens of every running request, and deliver the event or error to its job."""
        results = self._batch.update()
        for job in self._running:
            job.deliver(results[job.request])
        # One whose caller has left during this step still has rows: they are removed at the end of the turn.
        left = self._batch.requests
        self._running = [job for job in self._running if job.request in left]

    def _admit(self) -> None:
        """Encode the requests that there is room for, first in first out, and join a few of them to the batch."""
        admitted: list[_Job] = []
        while self._waiting and len(admitted) < NEWCOMERS and self._can_admit(admitted):
            job = self._waiting[0]
            if job.request is None:
                try:
                    job.request = job.make_request(job.encode())
                except Exception as error:
                    job.deliver(error)
                    self._waiting.popleft()
                    continue
            if not self._has_room(job, admitted):
                break
            admitted.append(self._waiting.popleft())
        if admitted and not self._join(admitted) and len(admitted) > 1:
            # One of them cannot be prefilled, or all are too much at once: one by one.
            for job in admitted:
                self._join([job], last_try=True)

    def _join(self, jobs: Sequence[_Job], last_try: bool = False) -> bool:
        try:
            self._batch.join([job.request for job in jobs])
        except Exception as error:
            if last_try or len(jobs) == 1:
                for job in jobs:
                    job.deliver(error)
            return False
        self._running += jobs
        return True

    def _can_admit(self, admitted: Sequence[_Job]) -> bool:
        """Whether a request may join those that run and ``admitted`` ones, its size aside."""
        if not self._running and not admitted:
            return True
        if self._batch.can_join and not self._engine.accelerator.is_on:
            return True
        if not self._logged_turns:
            reason = "a step of fixed shapes has no rows for others"
            if not self._engine.accelerator.is_on:
                reason = "the model's cache has layers whose rows cannot be joined"
            logger.warning("Requests take turns: %s.", reason)
            self._logged_turns = True
        return False

    def _has_room(self, job: _Job, admitted: Sequence[_Job]) -> bool:
        """Whether the bounds hold with this request too; alone it always may run."""
        others = [other.request for other in (*self._running, *admitted)]
        if not others:
            return True
        requests = [*others, job.request]
        if sum(request.num_rows for request in requests) > self._options.max_rows:
            return False
        limit = self._options.max_cache_bytes
        return limit is None or self._engine.cache_bytes(requests) <= limit
