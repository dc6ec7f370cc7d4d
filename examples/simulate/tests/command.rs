//! The program as scripts meet it.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulate"));
    command.args(arguments).output().unwrap()
}

/// A small world that is over soon.
fn small(more: &[&str]) -> Output {
    let mut arguments = vec!["--preset", "small", "--viewers", "2", "--duration", "30"];
    arguments.extend(more);
    simulate(&arguments)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("simulate-{}-{name}", std::process::id()))
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let output = small(&["--json", "--seed", "9"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["viewers"], 2);
    assert_eq!(object["seed"], 9);
    assert_eq!(object["preset"], "small");
}

#[test]
fn the_table_and_the_page_come_of_one_run() {
    let path = file("page.html");
    let output = small(&["--html", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("small: 2 viewers for 30 s"), "{table}");
    let page = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
}

#[test]
fn wrong_usage_is_told_from_what_cannot_be_written() {
    assert_eq!(simulate(&[]).status.code(), Some(2));
    assert_eq!(small(&["--latency", "soon"]).status.code(), Some(2));
    let same = small(&["--html", "one", "--record", "one"]);
    assert_eq!(same.status.code(), Some(2), "{}", stderr(&same));
}

#[test]
fn a_file_that_cannot_be_written_ends_the_program_before_the_run() {
    for option in ["--html", "--record"] {
        let output = small(&[option, "/no/such/folder/file"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        assert!(stderr(&output).contains("/no/such/folder/file cannot be written"));
    }
}
