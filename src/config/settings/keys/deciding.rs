//! Settings of what is decided: which files are read, and how calls are answered beside them.

use super::Key;

/// What is limited.
pub const FILES: Key = Key::new(
    "limits.files",
    "TOLLGATE_FILES",
    "",
    "Files and directories that say what is limited, with colons between them; they beat RUNTIME_ROOT",
)
.flag("FILE|DIR");

/// Where the reference's files are.
pub const RUNTIME_ROOT: Key = Key::new(
    "limits.runtime_root",
    "RUNTIME_ROOT",
    "",
    "Directory of the reference's files: starts as the reference does, on 0.0.0.0",
);

/// Below the root.
pub const RUNTIME_SUBDIRECTORY: Key = Key::new(
    "limits.runtime_subdirectory",
    "RUNTIME_SUBDIRECTORY",
    "",
    "Directory below RUNTIME_ROOT that holds RUNTIME_APPDIRECTORY",
);

/// Below the subdirectory.
pub const RUNTIME_APPDIRECTORY: Key = Key::new(
    "limits.runtime_appdirectory",
    "RUNTIME_APPDIRECTORY",
    "config",
    "Directory whose files are read",
);

/// What is watched for changes.
pub const RUNTIME_WATCH_ROOT: Key = Key::new(
    "limits.runtime_watch_root",
    "RUNTIME_WATCH_ROOT",
    "true",
    "Changes are seen when RUNTIME_ROOT is swapped as a symbolic link, else when files are written",
);

/// Whether hidden files are read.
pub const RUNTIME_IGNOREDOTFILES: Key = Key::new(
    "limits.runtime_ignoredotfiles",
    "RUNTIME_IGNOREDOTFILES",
    "false",
    "Files and directories whose names begin with a dot are not read",
);

/// Whether a domain may stand in several reference files.
pub const MERGE_DOMAINS: Key = Key::new(
    "limits.merge_domains",
    "MERGE_DOMAIN_CONFIG",
    "false",
    "A domain may stand in several files of the reference's language, which are then merged",
);

/// Whether anything is decided.
pub const ENABLED: Key =
    Key::new("decide.enabled", "RATE_LIMIT_ENABLED", "true", "false lets every call pass and counts nothing");

/// Whether refusals are carried out.
pub const SHADOW_MODE: Key = Key::new(
    "decide.shadow_mode",
    "SHADOW_MODE",
    "false",
    "Every call passes as a whole; statuses still say which limit would have refused",
);

/// Whether every reference rule is a quota rule.
pub const QUOTA_MODE: Key = Key::new(
    "reference.quota_mode",
    "QUOTA_MODE",
    "false",
    "In reference domains a call is refused only if all of its limits refuse",
);

/// Whether over-limit calls of reference domains stop the other counters.
pub const STOP_WHEN_OVER: Key = Key::new(
    "reference.stop_when_over",
    "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT",
    "false",
    "In reference domains a call that is over one limit is not counted against the others",
);

/// Whether reference domains send headers.
pub const HEADERS: Key = Key::new(
    "reference.headers",
    "LIMIT_RESPONSE_HEADERS_ENABLED",
    "false",
    "Answers of reference domains carry the three headers",
);

/// The first header.
pub const LIMIT_HEADER: Key = Key::new(
    "reference.limit_header",
    "LIMIT_LIMIT_HEADER",
    "RateLimit-Limit",
    "Name of the header with the limit",
);

/// The second header.
pub const REMAINING_HEADER: Key = Key::new(
    "reference.remaining_header",
    "LIMIT_REMAINING_HEADER",
    "RateLimit-Remaining",
    "Name of the header with what remains",
);

/// The third header.
pub const RESET_HEADER: Key = Key::new(
    "reference.reset_header",
    "LIMIT_RESET_HEADER",
    "RateLimit-Reset",
    "Name of the header with the seconds to the reset",
);

/// Whether reference domains send dynamic metadata.
pub const DYNAMIC_METADATA: Key = Key::new(
    "reference.dynamic_metadata",
    "RESPONSE_DYNAMIC_METADATA",
    "false",
    "Answers of reference domains carry the request and the metadata of the rules that passed",
);

/// The reference's cache of refusals.
pub const LOCAL_CACHE: Key = Key::new(
    "reference.local_cache_bytes",
    "LOCAL_CACHE_SIZE_IN_BYTES",
    "0",
    "Taken and without effect: refusals need no cache here",
);
