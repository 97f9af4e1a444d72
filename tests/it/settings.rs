//! Settings of the server: which source wins, what each name does, and what is said about bad values.

use std::time::Duration;

use clap::{CommandFactory, Parser};
use tollgate::config::cli::{Cli, Command};
use tollgate::config::settings::keys::{self, Key};
use tollgate::config::settings::{InputPlace, Settings, StoreSettings};
use tollgate::engine::{Enforcement, Switch};
use tollgate::limits::KeySecret;
use tollgate::store::redis::{RedisSettings, Secret};
use tollgate::telemetry::LogFormat;
use tracing_subscriber::filter::LevelFilter;

/// Settings of `tollgate serve ARGUMENTS` in an environment of `NAME=VALUE`s; wrong ones as lines.
fn resolve(arguments: &[&str], environment: &[&str]) -> Result<Settings, Vec<String>> {
    let cli = Cli::try_parse_from(["tollgate", "serve"].iter().chain(arguments)).unwrap();
    let Command::Serve(serve) = cli.command else { panic!("serve was asked for") };
    let variable = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    Settings::resolve(&serve.sources(environment.iter().map(variable)))
        .map_err(|errors| errors.to_string().lines().map(str::to_owned).collect())
}

/// Settings with a file of limits named and this environment.
fn with(environment: &[&str]) -> Settings {
    resolve(&["limits.yaml"], environment).unwrap()
}

/// What is said about this environment.
fn said(environment: &[&str]) -> Vec<String> {
    resolve(&["limits.yaml"], environment).unwrap_err()
}

fn settings_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn redis(environment: &[&str]) -> RedisSettings {
    match with(environment).store {
        StoreSettings::Redis(redis, _) => *redis,
        StoreSettings::Memory(_) => panic!("{environment:?} selects a Redis"),
    }
}

#[test]
fn defaults_are_safe_and_need_nothing() {
    let settings = with(&[]);
    assert_eq!(settings.listeners.grpc.to_string(), "127.0.0.1:8081");
    assert_eq!(settings.listeners.http.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.listeners.admin.to_string(), "127.0.0.1:6070");
    assert!(matches!(settings.store, StoreSettings::Memory(memory) if memory.max_keys == 1_000_000));
    assert_eq!(settings.grpc, Default::default());
    assert_eq!(settings.engine, Default::default());
    assert_eq!(settings.drain_delay, Duration::from_secs(2));
    assert_eq!((settings.log.level, settings.log.format), (LevelFilter::INFO, LogFormat::Text));
    assert_eq!(settings.threads, std::thread::available_parallelism().unwrap());
    assert_eq!((settings.key_secret, settings.data), (None, None));
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn each_source_beats_the_one_before() {
    let (_folder, file) = settings_file("listen:\n  http: 127.0.0.1:1001\n");
    let named = ["--settings", &file, "limits.yaml"];
    let http = |arguments: &[&str], environment: &[&str]| {
        let arguments: Vec<&str> = named.iter().chain(arguments).copied().collect();
        resolve(&arguments, environment).unwrap().listeners.http.to_string()
    };
    let (reference, own, flag) = ("PORT=1002", "TOLLGATE_HTTP=127.0.0.1:1003", ["--http", "127.0.0.1:1004"]);
    assert_eq!(http(&[], &[]), "127.0.0.1:1001");
    assert_eq!(http(&[], &[reference]), "127.0.0.1:1002");
    assert_eq!(http(&[], &[reference, own]), "127.0.0.1:1003");
    assert_eq!(http(&flag, &[reference, own]), "127.0.0.1:1004");
    assert_eq!(http(&flag, &[]), "127.0.0.1:1004");
}

#[test]
fn the_settings_file_is_named_by_flag_or_environment_and_flags_win() {
    let (_one, first) = settings_file("store: {max_keys: 11}");
    let (_two, second) = settings_file("store: {max_keys: 22}");
    let max_keys = |arguments: &[&str], environment: &[&str]| match resolve(
        &[arguments, &["limits.yaml"]].concat(),
        environment,
    )
    .unwrap()
    .store
    {
        StoreSettings::Memory(memory) => memory.max_keys,
        StoreSettings::Redis(..) => panic!("memory is the default"),
    };
    let variable = format!("TOLLGATE_SETTINGS={first}");
    assert_eq!(max_keys(&[], &[&variable]), 11);
    assert_eq!(max_keys(&["--settings", &second], &[&variable]), 22);
}

#[test]
fn every_setting_can_stand_in_the_settings_file() {
    let (_folder, file) = settings_file(
        "
listen: {grpc: '[::1]:0', http: ':0', admin: 'localhost:0', all: true}
server: {threads: 3, drain_delay: 0s}
store: {url: 'redis://r:1', auth: pw, socket_type: tcp, tls: false, timeout: 5ms, instances: 4, max_keys: 9, data_dir: d, flush_interval: 60s, key_secret: 000102030405060708090a0b0c0d0e0f}
log: {level: debug, format: json}
limits: {files: [a.yaml, b], merge_domains: true, runtime_root: /r, runtime_subdirectory: s, runtime_appdirectory: a, runtime_watch_root: false, runtime_ignoredotfiles: true}
decide: {enabled: false, shadow_mode: true}
reference: {quota_mode: true, stop_when_over: true, headers: true, limit_header: l, remaining_header: m, reset_header: r, dynamic_metadata: true, local_cache_bytes: 5}
",
    );
    let settings = resolve(&["--settings", &file], &[]).unwrap();
    assert_eq!(settings.listeners.grpc.to_string(), "[::1]:0");
    assert_eq!(settings.listeners.http.to_string(), "0.0.0.0:0");
    assert_eq!(settings.listeners.admin.to_string(), "localhost:0");
    assert_eq!(settings.threads.get(), 3);
    assert_eq!(settings.drain_delay, Duration::ZERO);
    let StoreSettings::Redis(redis, fallback) = &settings.store else { panic!("a Redis is named") };
    assert_eq!((&redis.url, &redis.password), (&Secret::new("redis://r:1"), &Some(Secret::new("pw"))));
    assert_eq!((redis.op_timeout, redis.key_secret), (Duration::from_millis(5), settings.key_secret));
    assert_eq!((fallback.instances, fallback.memory.max_keys), (4, 9));
    assert_eq!(settings.key_secret, Some(KeySecret([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])));
    assert_eq!((settings.log.level, settings.log.format), (LevelFilter::DEBUG, LogFormat::Json));
    assert!(settings.inputs.merge_domains);
    assert_eq!(settings.inputs.place, InputPlace::Files(vec!["a.yaml".into(), "b".into()]));
    assert_eq!(settings.engine.switch, Switch::Off);
    assert_eq!(settings.engine.enforcement, Enforcement::Shadow);
    let reference = settings.engine.reference;
    assert!(reference.all_quota && reference.stop_when_over && reference.dynamic_metadata);
    assert_eq!(reference.headers.unwrap().remaining, "m");
    let odd = [
        "RUNTIME_ROOT is not read, because files are named",
        "TOLLGATE_DATA_DIR is not used, because Redis keeps the counters",
    ];
    assert_eq!(settings.warnings, odd);
}

#[test]
fn a_data_directory_is_for_counters_in_memory() {
    let data = resolve(&["limits.yaml", "--data-dir", "d"], &[]).unwrap().data.unwrap();
    assert_eq!((data.dir.to_str(), data.flush_interval), (Some("d"), Duration::from_secs(1)));
    let data = with(&["TOLLGATE_DATA_DIR=/d", "TOLLGATE_FLUSH_INTERVAL=100ms"]).data.unwrap();
    assert_eq!((data.dir.to_str(), data.flush_interval), (Some("/d"), Duration::from_millis(100)));
    let redis = with(&["TOLLGATE_DATA_DIR=/d", "REDIS_URL=r:1"]);
    assert_eq!((redis.data, redis.warnings.len()), (None, 1));
    let by_flag = resolve(&["limits.yaml", "--data-dir", "d"], &["REDIS_URL=r:1"]).unwrap().warnings;
    assert_eq!(by_flag, ["--data-dir is not used, because Redis keeps the counters"]);
    let none = with(&["TOLLGATE_FLUSH_INTERVAL=2s"]);
    let odd = ["TOLLGATE_FLUSH_INTERVAL is not used, because TOLLGATE_DATA_DIR names no directory"];
    assert_eq!((none.data, none.warnings), (None, odd.map(str::to_owned).into()));
    for wrong in ["99ms", "61s", "2m"] {
        let said = said(&["TOLLGATE_DATA_DIR=/d", &format!("TOLLGATE_FLUSH_INTERVAL={wrong}")]);
        let expected =
            format!(r#"environment TOLLGATE_FLUSH_INTERVAL: "{wrong}" is out of range: write 100ms to 60s"#);
        assert_eq!(said, [expected]);
    }
}

#[test]
fn names_of_the_reference_mean_what_they_mean_there() {
    let settings = with(&["RATE_LIMIT_ENABLED=0", "SHADOW_MODE=t", "LOCAL_CACHE_SIZE_IN_BYTES=65536"]);
    assert_eq!((settings.engine.switch, settings.engine.enforcement), (Switch::Off, Enforcement::Shadow));
    assert!(with(&["QUOTA_MODE=TRUE"]).engine.reference.all_quota);
    assert!(with(&["STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=True"]).engine.reference.stop_when_over);
    assert!(with(&["RESPONSE_DYNAMIC_METADATA=1"]).engine.reference.dynamic_metadata);
    assert!(with(&["MERGE_DOMAIN_CONFIG=true"]).inputs.merge_domains);
    let names = |environment: &[&str]| {
        let named = with(environment).engine.reference.headers;
        named.map(|names| [names.limit, names.remaining, names.reset])
    };
    assert_eq!(names(&["LIMIT_LIMIT_HEADER=a"]), None);
    let defaults = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"].map(Into::into);
    assert_eq!(names(&["LIMIT_RESPONSE_HEADERS_ENABLED=true"]), Some(defaults));
    let renamed = ["LIMIT_LIMIT_HEADER=a", "LIMIT_REMAINING_HEADER=b", "LIMIT_RESET_HEADER=c"];
    let renamed = [&renamed[..], &["LIMIT_RESPONSE_HEADERS_ENABLED=T"]].concat();
    assert_eq!(names(&renamed), Some(["a", "b", "c"].map(Into::into)));
}

#[test]
fn the_largest_message_is_set_in_bytes() {
    let (_folder, file) = settings_file("server: {grpc_max_message: 2000000}\n");
    for (arguments, environment, bytes) in [
        (vec!["a.yaml"], vec!["TOLLGATE_GRPC_MAX_MESSAGE=1048576"], 1_048_576),
        (vec!["a.yaml", "--grpc-max-message", "65536"], vec!["TOLLGATE_GRPC_MAX_MESSAGE=1"], 65_536),
        (vec!["a.yaml", "--settings", &file], vec![], 2_000_000),
    ] {
        assert_eq!(resolve(&arguments, &environment).unwrap().grpc.max_message_bytes, bytes);
    }
}

#[test]
fn log_levels_are_taken_in_the_spellings_of_the_reference() {
    for (written, level) in [
        ("WARN", LevelFilter::WARN),
        ("warning", LevelFilter::WARN),
        ("Info", LevelFilter::INFO),
        ("DEBUG", LevelFilter::DEBUG),
        ("error", LevelFilter::ERROR),
        ("fatal", LevelFilter::ERROR),
        ("trace", LevelFilter::TRACE),
    ] {
        assert_eq!(with(&[&format!("LOG_LEVEL={written}")]).log.level, level, "{written}");
    }
    assert_eq!(with(&["LOG_FORMAT=json"]).log.format, LogFormat::Json);
}

#[test]
fn hosts_and_ports_of_the_reference_make_addresses() {
    for (environment, grpc) in [
        (vec!["GRPC_PORT=9"], "127.0.0.1:9"),
        (vec!["GRPC_HOST=10.0.0.1"], "10.0.0.1:8081"),
        (vec!["GRPC_HOST=10.0.0.1", "GRPC_PORT=9"], "10.0.0.1:9"),
        (vec!["GRPC_HOST=::", "GRPC_PORT=9"], "[::]:9"),
        (vec!["GRPC_HOST=localhost"], "localhost:8081"),
        (vec!["GRPC_PORT=9", "TOLLGATE_BIND_ALL=1"], "0.0.0.0:9"),
        (vec!["GRPC_PORT="], "127.0.0.1:8081"),
    ] {
        assert_eq!(with(&environment).listeners.grpc.to_string(), grpc, "{environment:?}");
    }
    let settings = with(&["HOST=10.0.0.2", "DEBUG_HOST=10.0.0.3", "DEBUG_PORT=1"]);
    assert_eq!(settings.listeners.http.to_string(), "10.0.0.2:8080");
    assert_eq!(settings.listeners.admin.to_string(), "10.0.0.3:1");
}

#[test]
fn a_start_in_the_reference_s_way_is_open_and_reads_its_files() {
    let settings = resolve(
        &[],
        &[
            "RUNTIME_ROOT=/data",
            "RUNTIME_SUBDIRECTORY=ratelimit",
            "RUNTIME_WATCH_ROOT=false",
            "RUNTIME_IGNOREDOTFILES=true",
        ],
    )
    .unwrap();
    assert_eq!(settings.listeners.grpc.to_string(), "0.0.0.0:8081");
    assert_eq!(settings.listeners.admin.to_string(), "0.0.0.0:6070");
    let InputPlace::Runtime(runtime) = settings.inputs.place else { panic!("RUNTIME_ROOT is given") };
    assert_eq!(runtime.root, std::path::Path::new("/data"));
    assert_eq!(runtime.subdirectory, std::path::Path::new("ratelimit"));
    assert_eq!(runtime.app_directory, std::path::Path::new("config"));
    assert!(!runtime.watch_root && runtime.ignore_dot_files);

    let files = with(&["RUNTIME_ROOT=/data"]);
    assert_eq!(files.inputs.place, InputPlace::Files(vec!["limits.yaml".into()]));
    assert_eq!(files.listeners.grpc.to_string(), "127.0.0.1:8081", "files are named, so nothing opens");
}

#[test]
fn an_admin_listener_that_others_reach_is_to_be_encrypted() {
    let odd = "the admin listener, 0.0.0.0:6070, is not encrypted, and tokens can be read on their way: \
               set TOLLGATE_ADMIN_TLS_CERT";
    for open in ["TOLLGATE_ADMIN=0.0.0.0:6070", "TOLLGATE_BIND_ALL=true"] {
        assert_eq!(with(&[open]).warnings, [odd], "{open}");
    }
    for near in ["TOLLGATE_ADMIN=[::1]:6070", "TOLLGATE_ADMIN=localhost:6070", "TOLLGATE_GRPC=0.0.0.0:8081"] {
        assert_eq!(with(&[near]).warnings, [""; 0], "{near}");
    }
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/localhost.pem");
    let [cert, key] = ["CERT", "KEY"].map(|file| format!("TOLLGATE_ADMIN_TLS_{file}={pem}"));
    let encrypted = with(&["TOLLGATE_ADMIN=0.0.0.0:6070", &cert, &key]);
    assert_eq!((encrypted.admin_tls.is_some(), encrypted.warnings), (true, vec![]));
}

#[test]
fn tokens_and_certificates_are_listed_with_commas_or_blanks_or_as_a_list() {
    let digest = "ab".repeat(32);
    let (_folder, file) = settings_file(&format!(
        "auth: {{tokens: ['ann:viewer:{digest}', 'bob:admin:{digest}:2027-01-31']}}\n"
    ));
    let listed = resolve(&["limits.yaml", "--settings", &file], &[]).unwrap().auth;
    let names: Vec<&str> = listed.tokens.iter().map(|token| token.name()).collect();
    assert_eq!(names, ["ann", "bob"]);
    for between in [",", " ", ", ", "\n"] {
        let variable =
            format!("TOLLGATE_ADMIN_TOKENS=ann:viewer:{digest}{between}bob:admin:{digest}:2027-01-31");
        assert_eq!(with(&[&variable]).auth, listed, "{between:?}");
    }
}

#[test]
fn callers_that_are_left_empty_do_not_open_the_ports() {
    let refused = |origin: &str| {
        format!("{origin}: \"\" would let everybody call: write who may, or take it away if everybody may")
    };
    for name in ["TOLLGATE_CALLER_TOKENS", "TOLLGATE_CALLER_TOKENS_FILE", "TOLLGATE_CALLER_CERTIFICATES"] {
        assert_eq!(said(&[&format!("{name}=")]), [refused(&format!("environment {name}"))]);
    }
    let (_folder, file) = settings_file("auth: {callers: {tokens: , tokens_file: ~}}");
    let places = ["tokens", "tokens_file"].map(|place| refused(&format!("{file}: auth.callers.{place}")));
    let mut found = resolve(&["limits.yaml", "--settings", &file], &[]).unwrap_err();
    found.sort_unstable();
    assert_eq!(found, places);
    let digest = "ab".repeat(32);
    let named =
        with(&["TOLLGATE_CALLER_TOKENS_FILE=", &format!("TOLLGATE_CALLER_TOKENS=till:shop:{digest}")]);
    assert!(named.calls.callers.is_some(), "another says who may");
    let (_folder, file) = settings_file("auth: {callers: {tokens: []}}");
    let nobody = resolve(&["limits.yaml", "--settings", &file], &[]).unwrap();
    assert!(nobody.calls.callers.is_some_and(|callers| callers.is_empty()));
    assert!(with(&["TOLLGATE_ADMIN_TOKENS="]).auth.is_empty(), "one is made then, and nobody else is let in");
}

#[test]
fn files_are_named_by_environment_with_colons() {
    let settings = resolve(&[], &["TOLLGATE_FILES=/a.yaml:/b"]).unwrap();
    assert_eq!(settings.inputs.place, InputPlace::Files(vec!["/a.yaml".into(), "/b".into()]));
}

#[test]
fn a_redis_is_named_in_many_ways() {
    for (environment, url) in [
        (vec!["REDIS_URL=redis:6379"], "redis://redis:6379"),
        (vec!["REDIS_URL=redis:6379", "REDIS_SOCKET_TYPE=tcp"], "redis://redis:6379"),
        (vec!["REDIS_URL=[::1]:6379"], "redis://[::1]:6379"),
        (vec!["REDIS_URL=redis:6379", "REDIS_TLS=true"], "rediss://redis:6379"),
        (vec!["REDIS_URL=rediss://me:pw@redis:6379/0"], "rediss://me:pw@redis:6379/0"),
        (vec!["REDIS_URL=redis://me:pw@redis/3"], "redis://me:pw@redis/3"),
        (vec!["REDIS_URL=/run/redis.sock", "REDIS_SOCKET_TYPE=unix"], "redis+unix:///run/redis.sock"),
        (vec!["REDIS_URL=/run/redis.sock"], "redis+unix:///run/redis.sock"),
        (vec!["TOLLGATE_STORE=unix:///run/redis.sock"], "redis+unix:///run/redis.sock"),
        (vec!["REDIS_URL=a:1", "TOLLGATE_STORE=redis://b:2"], "redis://b:2"),
        (vec!["REDIS_URL=a:1", "REDIS_TYPE=SINGLE", "BACKEND_TYPE=redis", "CONFIG_TYPE=FILE"], "redis://a:1"),
    ] {
        assert_eq!(redis(&environment).url, Secret::new(url), "{environment:?}");
    }
    for (auth, user, password) in [
        ("REDIS_AUTH=p@ss", None, "p@ss"),
        ("REDIS_AUTH=me:p:w", Some("me"), "p:w"),
        ("REDIS_AUTH=:pw", None, "pw"),
    ] {
        let redis = redis(&["REDIS_URL=a:1", auth]);
        assert_eq!((redis.user.as_deref(), redis.password), (user, Some(Secret::new(password))), "{auth}");
    }
    let memory = with(&["REDIS_URL=a:1", "TOLLGATE_STORE=memory"]).store;
    assert!(matches!(memory, StoreSettings::Memory(_)), "the own name beats the reference's");
}

#[test]
fn certificates_are_read_from_the_file_that_is_named() {
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let (_folder, path) = settings_file(pem);
    assert_eq!(redis(&["REDIS_URL=a:1", &format!("REDIS_TLS_CACERT={path}")]).ca.unwrap(), pem.as_bytes());
    let (_folder, path) = settings_file("no certificate");
    let wrong = said(&[&format!("REDIS_TLS_CACERT={path}")]);
    assert!(wrong[0].ends_with("holds no certificate: name a file in PEM"), "{wrong:?}");
    let missing = said(&["REDIS_TLS_CACERT=/nowhere/ca.pem"]);
    assert!(missing[0].contains(r#""/nowhere/ca.pem" cannot be read"#), "{missing:?}");
}

#[test]
fn the_last_of_a_flag_given_twice_holds() {
    let settings = resolve(&["limits.yaml", "--http", ":1", "--http", ":2"], &[]).unwrap();
    assert_eq!(settings.listeners.http.port, 2);
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_fix() {
    for (variable, expected) in [
        (
            "SHADOW_MODE=maybe",
            r#"environment SHADOW_MODE: "maybe" is neither true nor false: write true or false"#,
        ),
        (
            "TOLLGATE_GRPC=8081",
            r#"environment TOLLGATE_GRPC: "8081" is no address: write HOST:PORT, such as 127.0.0.1:8081"#,
        ),
        (
            "GRPC_PORT=high",
            r#"environment GRPC_PORT: ":high" is no address: write HOST:PORT, such as 127.0.0.1:8081"#,
        ),
        (
            "TOLLGATE_THREADS=0",
            r#"environment TOLLGATE_THREADS: "0" is no whole number of 1 or more: write digits only"#,
        ),
        (
            "TOLLGATE_MAX_KEYS=18446744073709551615",
            r#"environment TOLLGATE_MAX_KEYS: "18446744073709551615" is too many: write 1 to 1000000000; each takes 60 bytes and more"#,
        ),
        (
            "TOLLGATE_THREADS=5000",
            r#"environment TOLLGATE_THREADS: "5000" is too many: write 1 to 1024; more than there are cores do not help"#,
        ),
        (
            "TOLLGATE_STORE_TIMEOUT=10",
            r#"environment TOLLGATE_STORE_TIMEOUT: "10" is no span of time: write a number and ms, s, m, h or d, such as 10ms"#,
        ),
        (
            "TOLLGATE_DRAIN_DELAY=1m",
            r#"environment TOLLGATE_DRAIN_DELAY: "1m" is out of range: write 0s to 5s"#,
        ),
        (
            "TOLLGATE_GRPC_MAX_MESSAGE=512 KiB",
            r#"environment TOLLGATE_GRPC_MAX_MESSAGE: "512 KiB" is no whole number of 65536 or more: write digits only"#,
        ),
        (
            "LOG_LEVEL=loud",
            r#"environment LOG_LEVEL: "loud" is no level: write error, warn, info, debug or trace"#,
        ),
        ("LOG_FORMAT=xml", r#"environment LOG_FORMAT: "xml" is no format of the log: write text or json"#),
        (
            "LIMIT_LIMIT_HEADER=a b",
            r#"environment LIMIT_LIMIT_HEADER: "a b" is no name of a header: write letters, digits and dashes"#,
        ),
        (
            "REDIS_SOCKET_TYPE=smoke",
            r#"environment REDIS_SOCKET_TYPE: "smoke" is no type of socket: write tcp or unix"#,
        ),
        (
            "CONFIG_TYPE=GRPC_XDS_SOTW",
            r#"environment CONFIG_TYPE: "GRPC_XDS_SOTW" asks for a management server, which is not available yet: write FILE"#,
        ),
    ] {
        assert_eq!(said(&[variable]), [expected], "{variable}");
    }
}

#[test]
fn a_store_that_is_none_is_refused_and_its_address_not_shown() {
    for (store, words) in [
        ("redis+sentinel://:hush@a:1/primary", "redis+sentinel, which is not available yet"),
        ("redis+cluster://:hush@a:1", "redis+cluster, which is not available yet"),
        ("a:1,b:2,hush:3", "Sentinel and Cluster are not available yet"),
        ("hush", "is no store: write memory, redis://HOST:PORT"),
        ("http://hush", "is no store"),
        ("redis://:hush@", "is no address of a Redis"),
        ("redis://:hush@a:port", "is no address of a Redis"),
        ("redis://:hush@a:1/first", "is no address of a Redis"),
        ("unix://hush", "is no path of a socket"),
    ] {
        let said = said(&[&format!("TOLLGATE_STORE={store}")]);
        assert_eq!(said.len(), 1, "{store}: {said:?}");
        assert!(said[0].starts_with("environment TOLLGATE_STORE: the value (not shown) "), "{said:?}");
        assert!(said[0].contains(words) && !said[0].contains("hush"), "{store}: {said:?}");
    }
    let secret = said(&["TOLLGATE_KEY_SECRET=hush"]);
    assert!(secret[0].contains("32 hexadecimal digits") && !secret[0].contains("hush"), "{secret:?}");
}

#[test]
fn everything_wrong_is_said_in_one_go() {
    let (_folder, file) = settings_file("listen: {grp: ':1'}\nserver: {threads: some}\n");
    let said = resolve(&["--settings", &file, "--admin", "nowhere"], &["QUOTA_MODE=2"]).unwrap_err();
    let expected = [
        format!("{file}: listen.grp: there is no such setting: did you mean 'listen.grpc'?"),
        "nothing says what is limited: type `tollgate serve FILE`, or set TOLLGATE_FILES or RUNTIME_ROOT"
            .to_owned(),
        r#"--admin: "nowhere" is no address: write HOST:PORT, such as 127.0.0.1:8081"#.to_owned(),
        format!(r#"{file}: server.threads: "some" is no whole number of 1 or more: write digits only"#),
        r#"environment QUOTA_MODE: "2" is neither true nor false: write true or false"#.to_owned(),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_settings_file_that_cannot_be_read_is_said() {
    let said = resolve(&["limits.yaml", "--settings", "/nowhere/settings.yaml"], &[]).unwrap_err();
    assert_eq!(said, ["/nowhere/settings.yaml: No such file or directory (os error 2)"]);
    let (_folder, file) = settings_file("listen: [unclosed\n");
    let said = resolve(&["limits.yaml", "--settings", &file], &[]).unwrap_err().join(" ");
    assert!(said.starts_with(&file) && said.contains("line"), "{said}");
    let (_folder, file) = settings_file("listen: 5\nserver: {threads: [1, 2]}\n");
    let said = resolve(&["limits.yaml", "--settings", &file], &[]).unwrap_err();
    assert!(said[0].contains("listen: there is no such setting"), "{said:?}");
    assert!(said[1].contains("server.threads: \"1, 2\" is a list: write one value"), "{said:?}");
}

#[test]
fn unknown_own_names_are_warned_of_and_kubernetes_names_are_not() {
    let warnings =
        with(&["TOLLGATE_THREDS=2", "TOLLGATE_SERVICE_HOST=10.1.1.1", "TOLLGATE_PORT=tcp://10.1.1.1:1"])
            .warnings;
    assert_eq!(
        warnings,
        ["environment TOLLGATE_THREDS: means nothing here: did you mean 'TOLLGATE_THREADS'?"]
    );
}

#[test]
fn secrets_do_not_show_when_settings_are_printed() {
    let token = format!("TOLLGATE_ADMIN_TOKENS=ann:viewer:{}", "0123456789abcdef".repeat(4));
    let settings = with(&[
        "REDIS_URL=redis://me:hush@r:1",
        "TOLLGATE_KEY_SECRET=0123456789abcdef0123456789abcdef",
        &token,
    ]);
    let printed = format!("{settings:?}");
    assert!(!printed.contains("hush") && !printed.contains("0123456789abcdef"), "{printed}");
}

/// `.env.example` as the table of settings makes it.
fn env_example() -> String {
    let mut text = String::from(
        "# Every name that Tollgate reads from the environment, with its default. Flags beat TOLLGATE_*, which\n\
         # beats the reference service's names, which beat the settings file. An empty value counts as unset,\n\
         # but for those of auth.callers: where all that are set are empty, the start ends.\n\
         # In brackets: the place in the settings file, where `listen.grpc` is `listen: {grpc: …}`, and the flag.\n\n\
         # A file of settings, in YAML. [--settings]\n#TOLLGATE_SETTINGS=\n",
    );
    for Key { path, env, reference, flag, default, help, .. } in keys::ALL {
        let flag = flag.map(|flag| format!(", {flag}")).unwrap_or_default();
        text.push_str(&format!("\n# {help}. [{path}{flag}]\n#{env}={default}\n"));
        let parts: Vec<&str> = match reference {
            [_, _] => default.rsplitn(2, ':').collect::<Vec<_>>().into_iter().rev().collect(),
            _ => vec![default],
        };
        for (name, part) in reference.iter().zip(parts) {
            let shown = if *name == "REDIS_URL" { "" } else { part };
            text.push_str(&format!("#{name}={shown}\n"));
        }
    }
    text
}

#[test]
fn the_example_environment_lists_every_name() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let expected = env_example();
    if written != expected {
        let made = concat!(env!("CARGO_TARGET_TMPDIR"), "/env.example");
        std::fs::write(made, &expected).unwrap();
        panic!(".env.example differs from the table of settings: copy {made} over it");
    }
}

#[test]
fn every_flag_has_a_setting_and_its_help_names_default_and_variable() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let mut flags = 0;
    for argument in serve.get_arguments().filter(|argument| argument.get_id() != "help") {
        let help = argument.get_help().unwrap().to_string();
        let Some(long) = argument.get_long() else {
            assert!(help.contains(keys::FILES.env), "{help}");
            continue;
        };
        flags += 1;
        if long == "settings" {
            assert!(help.contains(keys::SETTINGS_FILE), "{help}");
            continue;
        }
        let flag = format!("--{long}");
        let key = keys::ALL.iter().find(|key| key.flag == Some(&flag)).expect(&flag);
        assert!(help.contains(&format!("[env: {}]", key.env)), "{help}");
        assert!(key.default.is_empty() || help.contains(&format!("[default: {}]", key.default)), "{help}");
    }
    assert_eq!(
        flags,
        keys::ALL.iter().filter(|key| key.flag.is_some()).count(),
        "and one for the settings file"
    );
}

#[test]
fn names_and_places_of_settings_are_unique() {
    let mut names: Vec<&str> =
        keys::ALL.iter().flat_map(|key| [&[key.path, key.env], key.reference].concat()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
