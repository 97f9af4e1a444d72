//! What a program gets that chooses nothing: tonic on tokio's runtime of many threads, over glibc's allocator. The bench
//! `targets` starts it, also to have its allocations counted by valgrind, which knows glibc's; by itself it does nothing.

#[path = "../targets/deciding.rs"]
mod deciding;
#[path = "../targets/empty.rs"]
mod empty;

use deciding::{CALL, Deciding, LIMITS};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["empty"] => empty::serve(tokio::runtime::Builder::new_multi_thread()),
        ["decide", calls] => {
            Deciding::new(LIMITS, CALL, 100).decide(calls.parse().expect("a number of calls"))
        }
        _ => {}
    }
}
