# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where every figure of admission lies in its shared page, in 64-bit words.

Its unit is one word: a signed integer that is read and written whole. Times are CLOCK_MONOTONIC nanoseconds, durations
nanoseconds. Only the owner of a slot writes that slot, except that a dead owner's slot may be freed by anyone who holds
admission's mutex. docs/admission.md says what the words mean together. Change anything here, and VERSION must change.
"""

from __future__ import annotations

from collections.abc import MutableSequence

VERSION = 2
# "edgegate" read as a number, with the version added: a page is valid once its first word is this.
MAGIC = int.from_bytes(b"edgegate", "big") // 256 * 256 + VERSION

Words = MutableSequence[int]

SLOTS = 64

# Header. The limits of the device, and hints that may be lost without harm.
H_MAGIC = 0
H_LIMIT = 1  # background jobs at once
H_GUARD = 2  # ns kept free before a critical release
H_CO_RUN = 3  # background jobs that may run beside an active critical job
H_USED = 4  # slots ever used: a scan ends here
H_HEADS = 5  # bits of the waiters to wake when a critical job ends
H_ADMISSIONS = 6  # count of admissions
H_WAKE = 8  # futex in the lower half (little-endian) of this word
H_MUTEX = 16  # pthread_mutex_t, up to 8 words

# One state a slot, side by side so that a scan reads them at once.
STATES = 64
FREE, CRITICAL, IDLE, WAITING, RUNNING = range(5)

SLOT_BASE = STATES + SLOTS
SLOT_WORDS = 128
WORDS = SLOT_BASE + SLOTS * SLOT_WORDS
NAME_BYTES = 48

# Every slot.
S_TOKEN = 0  # of the owner's incarnation; 0 in a free slot
S_NAME = 1  # 6 words of UTF-8
S_PID = 7  # for display only: it may be of another pid namespace

# Slot of a critical job.
C_RELEASE = 8  # next announced release; 0: none
C_PERIOD = 9
C_BUDGET = 10  # learned or given
C_LEASE = 11  # how long a release or a begin binds others without news
C_ACTIVE = 12  # when the running inference began; 0: none runs
C_BEGAN = 13  # last begin
C_ENDED = 14  # last end
C_CO_RUN = 15  # a bit for each slot whose job may run beside the next inference; 0: nobody may
C_JOBS = 16  # counts from here on
C_OVERRUNS = 17  # inferences longer than the budget
C_DISTURBED = 18  # inferences that began while a background job ran
C_SKIPPED = 19  # releases passed over
C_LATE = 20  # inferences that began later than one guard after their release

# Slot of a background job.
B_EXPECTED = 8  # duration alone
B_SHARED = 9  # duration beside other background jobs
B_DEADLINE = 10  # order among the waiting
B_ASKED_AT = 11
B_STARTED_AT = 12
B_ENDS_AT = 13  # expected
B_POLICY = 14
B_ASKED = 16  # counts from here on
B_ADMITTED = 17
B_AT_ONCE = 18  # admitted without waiting
B_NEVER_FITS = 19  # refused
B_TIMED_OUT = 20  # refused
B_MUST_SPLIT = 21  # refused
B_STUCK = 22  # refused: a stopped process held the mutex
B_OVERRAN = 23  # took longer than expected
B_OVERLAPPED = 24  # still ran when a critical job began
B_OVERSIZE_RUNS = 25  # run although longer than any slack, at the lower rate
B_PASSED_OVER = 26  # admitted ahead of an earlier one that did not take its turn
B_DELAYED_BY = 27  # 5 words, by the reason of the first wait, see decision.REASONS
B_DELAY_TOTAL = 32  # ns
B_DELAY_MAX = 33  # ns
B_RAN = 37  # ns in finished runs
B_FITS = 34  # the longest duration that would fit, ns; 0: the job fits as it is

# Every slot: the learned duration (beside other background jobs, too); survives the owner.
S_LEARNED = 35
S_LEARNED_SHARED = 36

# Log-spaced counts: of delays (background) or of durations (critical).
HISTOGRAM = 48
BUCKETS = SLOT_WORDS - HISTOGRAM


def base_of(slot: int) -> int:
    """Return the first word of a slot."""
    return SLOT_BASE + slot * SLOT_WORDS


def bit_of(slot: int) -> int:
    """Return the futex bit by which a slot's waiter is woken; slots may share one."""
    return 1 << (slot & 31)


def mask_of(bits: int) -> int:
    """Return 64 bits as the signed word that holds them."""
    return ((bits & (1 << 64) - 1) ^ (1 << 63)) - (1 << 63)


def bucket_of(duration_ns: int) -> int:
    """Return the bucket of a duration: four to an octave from 1 us to about 2 s."""
    value = duration_ns >> 10
    if value < 4:
        return value if value > 0 else 0
    octave = value.bit_length() - 1
    index = 4 * (octave - 1) + ((value >> (octave - 2)) & 3)
    return index if index < BUCKETS else BUCKETS - 1


def bucket_upper_ns(index: int) -> int:
    """Return the end of a bucket, ns."""
    if index < 4:
        return (index + 1) << 10
    octave, quarter = index // 4 + 1, index % 4
    return ((quarter + 5) << (octave - 2)) << 10


def write_name(words: Words, base: int, name: str) -> None:
    """Store a name, cut to NAME_BYTES."""
    raw = name.encode("utf-8")[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
    for index in range(NAME_BYTES // 8):
        words[base + S_NAME + index] = int.from_bytes(raw[8 * index : 8 * index + 8], "little", signed=True)


def read_name(words: Words, base: int) -> str:
    """Return a slot's name."""
    raw = b"".join(
        words[base + S_NAME + index].to_bytes(8, "little", signed=True) for index in range(NAME_BYTES // 8)
    )
    return raw.rstrip(b"\0").decode("utf-8", "replace")
