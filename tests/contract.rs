//! What `contract.md` names is there and is run.

use std::fs;
use std::path::{Path, PathBuf};

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn text(path: &str) -> String {
    fs::read_to_string(tests().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether `word` stands there as a whole.
fn names(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word)
}

/// The items of a test file, each from a line that starts at the margin.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = vec![];
    for line in text.lines() {
        let continues = line.is_empty() || line.starts_with([' ', '}', ')', ']']);
        match items.last_mut().filter(|_| continues) {
            Some(item) => *item += &format!("\n{line}"),
            None => items.push(line.into()),
        }
    }
    items
}

/// What is wrong with such a name.
fn complaint(program: &str, case: &str, runners: &[String]) -> Option<&'static str> {
    if program.ends_with(".rs") {
        let test = format!("#[test]\nfn {case}()");
        return (!text(program).contains(&test)).then_some("no such test");
    }
    let extension = ["c", "cpp"]
        .into_iter()
        .find(|extension| tests().join(format!("progs/capi/{program}.{extension}")).exists());
    let Some(extension) = extension else { return Some("no such program") };
    let source = format!("{program}.{extension}");
    let own = text(&format!("progs/capi/{source}"));
    let known = if extension == "c" { own.contains(&format!("CASE({case})")) } else { names(&own, case) };
    let run = runners.iter().any(|item| item.contains(&format!("\"{source}\"")) && names(item, case));
    if !known { Some("no such case") } else { (!run).then_some("not run") }
}

#[test]
fn every_check_is_there_and_run() {
    let runners: Vec<String> = ["capi.rs", "tls.rs"].iter().flat_map(|file| items(&text(file))).collect();
    let (list, mut wrong, mut count) = (text("contract.md"), vec![], 0);
    let (clauses, _) = list.split_once("\n## Without a check").expect("the last heading");
    for line in clauses.lines().filter(|line| line.starts_with("- ")) {
        let Some((_, checks)) = line.rsplit_once(" -> ") else {
            wrong.push(format!("no check: {line}"));
            continue;
        };
        for check in checks.split(", ") {
            count += 1;
            let (program, case) = check.split_once(':').expect("program:case");
            wrong.extend(complaint(program, case, &runners).map(|what| format!("{check}: {what}")));
        }
    }
    assert!(count > 100 && wrong.is_empty(), "{}", wrong.join("\n"));
    for (program, case) in
        [("raise", "absent"), ("absent", "caught"), ("capi.rs", "absent"), ("mistakes", "heap")]
    {
        assert!(complaint(program, case, &runners).is_some(), "{program}:{case}");
    }
}
