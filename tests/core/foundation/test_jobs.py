import gc
import subprocess
import sys
import threading

from core.foundation.errors import UserError
from core.foundation.jobs import Job, OnProgress, Stopped

PATIENCE = 60.0


def until_stopped(on_progress: OnProgress, begun: threading.Event | None = None) -> None:
    while True:
        on_progress(0.25, "on it")
        if begun is not None:
            begun.set()


def test_what_comes_of_it_is_there_in_the_end() -> None:
    def work(on_progress: OnProgress) -> str:
        on_progress(7.0, "nearly there")
        return "done"

    job = Job(work, "sorry")
    assert job.wait(PATIENCE)
    assert (job.stage, job.result, job.mistake) == ("finished", "done", "")
    assert (job.fraction, job.message) == (1.0, "nearly there")
    assert not job.running


def test_called_off_it_ends_and_nothing_comes_of_it() -> None:
    begun = threading.Event()
    job = Job(lambda on_progress: until_stopped(on_progress, begun), "sorry")
    assert begun.wait(PATIENCE)
    assert (job.stage, job.fraction, job.message) == ("running", 0.25, "on it")
    job.stop()
    assert job.stopping
    assert job.wait(PATIENCE)
    assert (job.stage, job.result, job.mistake) == ("stopped", None, "")


def test_being_called_off_is_not_taken_for_a_failure_on_the_way() -> None:
    def work(on_progress: OnProgress) -> str:
        try:
            until_stopped(on_progress)
        except Exception:
            return "a failure was made up for"
        return ""

    job = Job(work, "sorry")
    job.stop()
    assert job.wait(PATIENCE)
    assert job.stage == "stopped"
    assert not issubclass(Stopped, Exception)


def test_a_mistake_is_its_sentence_and_a_fault_an_apology() -> None:
    def mistaken(on_progress: OnProgress) -> None:
        raise UserError("expected one thing, but got another: do this.")

    def broken(on_progress: OnProgress) -> None:
        raise RuntimeError("a secret of the machine")

    for work, says in ((mistaken, "expected one thing"), (broken, "sorry")):
        job = Job(work, "sorry")
        assert job.wait(PATIENCE)
        assert job.stage == "failed"
        assert job.mistake.startswith(says)
        assert job.result is None


def test_a_job_that_nobody_holds_is_called_off() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(on_progress: OnProgress) -> None:
        try:
            until_stopped(on_progress, begun)
        finally:
            ended.set()

    job = Job(work, "sorry")
    assert begun.wait(PATIENCE)
    del job
    gc.collect()
    assert ended.wait(PATIENCE)


def test_a_program_that_ends_lets_its_jobs_stop_first() -> None:
    program = """
import threading
from core.foundation.jobs import Job
begun = threading.Event()
def work(on_progress):
    try:
        while True:
            begun.set()
            on_progress(0, "")
    finally:
        print("stopped")
job = Job(work, "sorry")
begun.wait()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout) == (0, "stopped\n")
