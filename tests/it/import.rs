//! `tollgate import usage`: what was counted elsewhere counts here, once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Output;

use serde_json::{Value, json};

use crate::admin_routes::Page;
use crate::support::process::{run, run_with};

/// Imports `text` into the first of the four products.
fn import(page: &Page, text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.txt");
    std::fs::write(&file, text).unwrap();
    let admin = format!("http://{}", page.0.admin());
    let arguments = ["import", "usage", file.to_str().unwrap(), "--domain", "aurastream", "--admin", &admin];
    run(&[&arguments, more].concat(), &[])
}

/// What it prints, or what is wrong.
fn text_of(output: &Output) -> (bool, String) {
    let bytes = if output.status.success() { &output.stdout } else { &output.stderr };
    (output.status.success(), String::from_utf8(bytes.clone()).unwrap())
}

fn create(page: &Page, user: &str) -> u16 {
    page.call(&[("method", "POST"), ("path", "/generate"), ("user", user), ("tier", "free")])
}

#[test]
fn nobody_gets_a_second_quota_and_what_exists_counts() {
    let page = Page::open();
    let rows = "subject,limit,used\nuser=ann,monthly_creations,2\nuser=bea,monthly_creations,3\n\
        user=ann+kit=k1,max_logos_per_kit,5\nuser=ann,max_brand_kits,1\n";
    let (done, told) = text_of(&import(&page, rows, &["--dry-run"]));
    assert!(done && told.contains("monthly_creations: 2 would be set, 0 as before"), "{told}");
    let used = |user: &str, limit: &str| {
        let (_, usage) = page.get(&format!("/usage/{user}?domain=aurastream&kit=k1"));
        usage["limits"][limit]["used"].clone()
    };
    assert_eq!(used("ann", "monthly_creations"), 0);
    let (done, told) = text_of(&import(&page, rows, &["--reason", "moving over"]));
    assert!(
        done && told.contains("monthly_creations: 2 set, 0 as before\n") && told.contains("record "),
        "{told}"
    );
    assert_eq!((used("ann", "monthly_creations"), used("ann", "max_logos_per_kit")), (json!(2), json!(5)));
    assert_eq!([create(&page, "ann"), create(&page, "ann"), create(&page, "bea")], [200, 429, 429]);
    let logo = |kit: &str| {
        page.call(&[("limit", "max_logos_per_kit"), ("user", "ann"), ("kit", kit), ("tier", "free")])
    };
    assert_eq!([logo("k1"), logo("k2")], [429, 200]);
    // The same again changes nothing, in the other form too.
    let again = r#"{"subject": {"user": "bea"}, "limit": "monthly_creations", "used": 3}"#;
    let (done, told) = text_of(&import(&page, again, &[]));
    assert!(done && told.contains("monthly_creations: 0 set, 1 as before"), "{told}");
}

#[test]
fn one_wrong_line_is_named_and_nothing_is_done() {
    let page = Page::open();
    for (line, words) in [
        ("user=ann,monthly_creation,2", ":3: limit: "),
        ("user=ann,max_logos_per_kit,2", ":3: "),
        ("user=ann,monthly_creations,two", ":3: used: "),
        ("user=ann,monthly_creations,-2", ":3: used: "),
        ("ann,monthly_creations,2", ":3: subject: "),
    ] {
        let rows = format!("subject,limit,used\nuser=bea,monthly_creations,2\n{line}\n");
        let (done, told) = text_of(&import(&page, &rows, &[]));
        assert!(!done && told.contains(words), "{line}: {told}");
    }
    let (_, usage) = page.get("/usage/bea?domain=aurastream");
    assert_eq!(usage["limits"]["monthly_creations"]["used"], 0);
    let (done, told) = text_of(&run(&["import", "usage", "/nowhere/usage.csv"], &[]));
    assert!(!done && told.contains("/nowhere/usage.csv"), "{told}");
    let rows = "subject,limit,used\nuser=bea,monthly_creations,2\n";
    let (done, told) = text_of(&import(&page, rows, &["--domain", "aurastrem"]));
    assert!(!done && told.contains("aurastream"), "{told}");
}

#[test]
fn thousands_of_rows_go_in_several_batches() {
    let page = Page::open();
    let mut rows = "subject,limit,used\n".to_owned();
    for number in 0..1_200 {
        rows += &format!("user=somebody-with-a-long-name-{number},monthly_creations,1\n");
    }
    let (done, told) = text_of(&import(&page, &rows, &[]));
    assert!(done && told.contains("monthly_creations: 1200 set, 0 as before"), "{told}");
    let (_, usage) = page.get("/usage/somebody-with-a-long-name-1199?domain=aurastream");
    assert_eq!(usage["limits"]["monthly_creations"]["used"], 1);
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_in_one_go() {
    let page = Page::open();
    for text in ["", "\n\n", "subject,limit,used\n"] {
        let (done, told) = text_of(&import(&page, text, &[]));
        assert!(!done && told.contains("holds no rows"), "{text:?}: {told}");
    }
    let rows = "subject,limit,used\nuser=ann,monthly_creations,2\nbea,monthly_creations,2\n\
        user=carl,monthly_creation,2\nuser=dan,monthly_creations\nuser=ann,monthly_creations,3\n";
    let (done, told) = text_of(&import(&page, rows, &[]));
    let places: Vec<&str> = told.lines().filter_map(|line| line.split(':').nth(1)).collect();
    assert!(!done && places == ["3", "4", "5", "6"], "{told}");
    assert!(told.contains(":6: line 2 says it already"), "{told}");
    let (done, told) = text_of(&import(&page, rows, &["--domain", "aurastrem"]));
    assert!(!done && told.contains("aurastream") && told.contains(":5: has 2 fields"), "{told}");
}

#[test]
fn the_same_twice_is_found_however_far_apart() {
    let page = Page::open();
    let mut rows = "subject,limit,used\nuser=u+kit=k,max_logos_per_kit,1\nip=192.0.2.7,signup,2\n".to_owned();
    for number in 0..1_500 {
        rows += &format!("user=u{number},monthly_creations,1\n");
    }
    rows += "user=u0,monthly_creations,3\nkit=k+user=u,max_logos_per_kit,2\nremote_address=::ffff:192.0.2.7,signup,1\n";
    let (done, told) = text_of(&import(&page, &rows, &[]));
    assert!(!done && told.contains(":1504: line 4 says it already\n"), "{told}");
    assert!(told.contains(":1505: line 2 says it already\n"), "{told}");
    assert!(told.contains(":1506: line 3 says it already"), "{told}");
    let (_, usage) = page.get("/usage/u0?domain=aurastream");
    assert_eq!(usage["limits"]["monthly_creations"]["used"], 0);
}

#[test]
fn what_comes_in_at_standard_input_is_imported_as_from_a_file() {
    let page = Page::open();
    let admin = format!("http://{}", page.0.admin());
    let arguments = ["import", "usage", "-", "--domain", "aurastream", "--admin", &admin];
    let import = |rows: &str| text_of(&run_with(&arguments, &format!("subject,limit,used\n{rows}")));
    let (done, told) = import("user=ann,monthly_creations,2\n");
    assert!(done && told.contains("monthly_creations: 1 set"), "{told}");
    let (done, told) = import("user=ann,monthly_creations,two\n");
    assert!(!done && told.contains("-:2: used: "), "{told}");
}

#[test]
fn what_only_the_server_knows_to_be_the_same_is_told_by_its_line() {
    let page = Page::open();
    let rows = "subject,limit,used\nuser=ann,monthly_creations,2\n\nip=192.0.2.7,signup,2\nuser=bea,monthly_creations,2\n\
        ip=::ffff:192.0.2.7,signup,2\n";
    let (done, told) = text_of(&import(&page, rows, &[]));
    assert!(!done && told.contains("usage.txt:6: line 4 says it already"), "{told}");
}

/// Answers `most` requests to import as if each had set its rows, and breaks off the next one.
fn answer(listener: &TcpListener, most: usize) {
    for number in 0..=most {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let (mut line, mut length) = (String::new(), 0);
        while line.trim_end() != "" || length == 0 {
            line.clear();
            stream.read_line(&mut line).unwrap();
            if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        if number < most {
            let asked: Value = serde_json::from_slice(&body).unwrap();
            let rows = asked["rows"].as_array().unwrap();
            let rows: Vec<Value> = rows.iter().map(|_| json!({"before": "0", "after": "1"})).collect();
            let told = json!({"rows": rows, "version": number.to_string()}).to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", told.len());
            stream.get_mut().write_all((head + &told).as_bytes()).unwrap();
        }
    }
}

#[test]
fn an_import_that_breaks_off_tells_how_far_it_has_come() {
    let rows: String = (0..1_100).map(|number| format!("user=u{number},monthly_creations,1\n")).collect();
    // Three requests ask whether all is right.
    for (answered, begins) in [
        (3, "no Tollgate answers at "),
        (
            5,
            "lines 2 to 1001 are set (record 3, 4), lines 1002 to 1101 are not known to be, and those behind are not: \
             no Tollgate answers at ",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || answer(&listener, answered));
        let arguments = ["import", "usage", "-", "--domain", "aurastream", "--admin", &admin];
        let (done, told) = text_of(&run_with(&arguments, &format!("subject,limit,used\n{rows}")));
        server.join().unwrap();
        assert!(!done && told.starts_with(begins), "{told}");
    }
}

#[test]
fn its_records_are_found_by_whom_its_rows_name() {
    let page = Page::open();
    let rows =
        "subject,limit,used\nuser=ann+kit=k1,max_logos_per_kit,5\nuser=bea+kit=k2,max_logos_per_kit,5\n";
    let (done, told) = text_of(&import(&page, rows, &[]));
    assert!(done, "{told}");
    let found = |subject: &str| {
        let (status, found) = page.get(&format!("/audit?domain=aurastream&subject={subject}"));
        assert_eq!(status, 200, "{found}");
        found["entries"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([found("user=ann%2Bkit=k1"), found("kit=k2%2Buser=bea")], [1, 1]);
    assert_eq!([found("user=ann%2Bkit=k2"), found("all"), found("user=all")], [0, 0, 0]);
}
