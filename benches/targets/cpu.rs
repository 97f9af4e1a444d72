//! What Linux says a process or a thread has used. Everything here is counted by the kernel; nothing asks the time.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of all threads of process `pid`, in nanoseconds. Exact for threads that sleep, as those of a server do
/// once every call is answered.
pub(crate) fn of_process(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let accounts = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    accounts.map(|account| first_number(&account)).sum()
}

/// The CPU time of this thread, in nanoseconds.
pub(crate) fn of_thread() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e9 + spent.tv_nsec as f64
}

/// How often process `pid` has called `write`, `writev` and their kin. What is sent by `send` is not among them, a
/// wake-up of another thread by an eventfd is.
pub(crate) fn writes_of(pid: u32) -> f64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("the process runs");
    io.lines().find_map(|line| line.strip_prefix("syscw: ")).map(first_number).expect("Linux counts writes")
}

/// The bytes of memory that this process has touched and still holds.
pub(crate) fn resident_bytes() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("this process runs");
    let resident = pages.split_whitespace().nth(1).expect("its second number");
    first_number(resident) * rustix::param::page_size() as f64
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}
