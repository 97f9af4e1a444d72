//! The reference service's own answers, recorded, come out the same here.
//!
//! One difference is wanted: the reference joins a key and its value with `_` and so takes one pair for another.

use serde::Deserialize;
use tollgate::config::diagnostic::Position;
use tollgate::config::source::{Compiled, SameDomain, Source, compile};

use crate::support::deciding::InProcess;
use crate::support::recorded::{Played, Scenario, items};

fn compiled(documents: Vec<(String, String)>) -> Compiled {
    let sources: Vec<Source> =
        documents.into_iter().map(|(name, text)| Source { name: name.into(), text }).collect();
    compile(&sources, SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}"))
}

#[tokio::test]
async fn answers_in_process_over_memory() {
    let mut played = Played::default();
    for file in ["cases.yaml", "random.yaml"] {
        for scenario in items::<Scenario>(file) {
            let rules = compiled(scenario.documents()).rules;
            let decides = InProcess::over_memory(rules, scenario.settings());
            played.add(scenario.play(&decides).await);
        }
    }
    played.assert_alike(3_000);
}

#[derive(Deserialize)]
struct File {
    name: String,
    document: String,
    accepted: bool,
}

#[test]
fn files_are_taken_and_refused() {
    let files = items::<File>("files.yaml");
    assert!(files.len() >= 31, "only {} files", files.len());
    for File { name, document, accepted } in files {
        let source = Source { name: "limits.yaml".into(), text: document.clone() };
        let found = compile(&[source], SameDomain::Refuse);
        assert_eq!(found.is_ok(), accepted, "{name}: {document}\n{found:?}");
        let Err(found) = found else { continue };
        for diagnostic in found.iter() {
            let is_placed = diagnostic.at != Position::FILE || document.is_empty();
            assert!(is_placed && !diagnostic.fix.is_empty(), "{name}: {diagnostic}");
        }
    }
}
