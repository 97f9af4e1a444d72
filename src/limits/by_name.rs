//! Maps by names that callers send and files give.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Values by name. Its hash is made for short names and short times: only names of files are ever put in, so
/// nobody who calls can fill a bucket.
pub type ByName<T> = HashMap<Box<[u8]>, T, RandomState>;
