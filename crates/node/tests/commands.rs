//! The program as a process: commands that need no node, and what every wrong use says and returns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

/// The program without any variable of this process.
fn boato(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boato"));
    command.env_clear().args(args);
    command
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Runs, checks the exit code and that standard error has every one of `texts`.
fn fails(command: &mut Command, code: i32, texts: &[&str]) {
    let assert = command.assert().code(code);
    let stderr = stderr(&assert);
    for text in texts {
        assert!(stderr.contains(text), "no {text:?} in: {stderr}");
    }
}

/// A loopback address where nobody listens: bound a moment ago, closed since.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn keygen_prints_one_secret_and_never_the_same() {
    let json = stdout(&boato(&["keygen", "--json"]).assert().success());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut keys: Vec<_> = (0..2).map(|_| stdout(&boato(&["keygen"]).assert().success())).collect();
    assert_ne!(keys[0], keys[1]);
    keys.push(json["secret"].as_str().unwrap().to_owned());
    for key in keys {
        assert_eq!(key.lines().count(), 1);
        boato_transport::Secret::parse(&key).unwrap();
    }
}

#[test]
fn completions_are_there_for_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&boato(&["completions", shell]).assert().success());
        assert!(script.contains("leave-timeout"), "{shell}");
    }
    fails(&mut boato(&["completions", "cmd.exe"]), 2, &["cmd.exe", "possible values: bash"]);
}

#[test]
fn help_and_version_succeed() {
    let help = stdout(&boato(&["--help"]).assert().success());
    for command in [
        "run",
        "members",
        "get",
        "set",
        "del",
        "where",
        "leave",
        "event",
        "monitor",
        "query",
        "reachability",
        "rtt",
        "tags",
        "keys",
        "join",
        "force-leave",
        "keygen",
        "status",
        "config",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    let run = stdout(&boato(&["run", "--help"]).assert().success());
    assert!(run.contains("--leave-timeout") && run.contains("BOATO_LEAVE_TIMEOUT"), "{run}");
    assert!(stdout(&boato(&["-V"]).assert().success()).starts_with("boato 0."));
}

#[test]
fn wrong_usage_is_2() {
    fails(&mut boato(&["frobnicate"]), 2, &["unrecognized subcommand 'frobnicate'"]);
    fails(&mut boato(&["--qick", "1"]), 2, &["unexpected argument '--qick'"]);
    fails(&mut boato(&["--quic", "a b:1"]), 2, &["'a b:1' for '--quic <ADDR>'", "not a host name"]);
    fails(&mut boato(&["run", "--weight=-1"]), 2, &["--weight", "from 0 to 65535"]);
    fails(&mut boato(&["weight", "-1"]), 2, &["'-1' for '<WEIGHT>'"]);
    fails(&mut boato(&["--discover", "smell"]), 2, &["possible values: local, mdns, off"]);
    fails(&mut boato(&["get"]), 2, &["<KEY>"]);
    fails(&mut boato(&["weight", "abc"]), 2, &["from 0 to 65535"]);
    fails(&mut boato(&["keys", "user:*"]), 2, &["the secrets of the cluster", "boato scan --match 'user:*'"]);
    fails(&mut boato(&["monitor", "--only", "nonsense"]), 2, &["possible values: joined, updated"]);
    fails(&mut boato(&["import", "rediss://web1"]), 2, &["TLS is not spoken here", "stunnel"]);
    fails(&mut boato(&["import", "http://web1"]), 2, &["redis://[[user]:password@]host"]);
    fails(&mut boato(&["set", "k", "v", "--ttl", "500ms"]), 2, &["whole seconds"]);
}

#[test]
fn wrong_configuration_is_78_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("boato.toml");
    let config = |content: &str| {
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    };
    fails(&mut boato(&["--config", &config("qick = 1")]), 78, &["boato.toml", "unknown field `qick`"]);
    fails(&mut boato(&["--config", &config("quic = \"x\"")]), 78, &["the port is missing"]);
    fails(&mut boato(&["--config", "/nowhere/boato.toml"]), 78, &["cannot read the configuration file"]);
    fails(&mut boato(&["--quic", "0.0.0.0:0"]), 78, &["--quic: without a secret", "boato keygen > secret"]);
    fails(&mut boato(&["--http", "0.0.0.0:0"]), 78, &["--client-secret-file FILE, or say --open"]);
    fails(&mut boato(&["--secret-file", "/nowhere"]), 78, &["cannot read the secret file /nowhere"]);
    fails(boato(&[]).env("BOATO_SECRET", "c2hvcnQ="), 78, &["BOATO_SECRET does not hold a cluster secret"]);
    fails(boato(&[]).env("BOATO_HTTP", "0.0.0.0:0"), 78, &["BOATO_HTTP: 0.0.0.0:0 is reachable"]);
    let bad_variable = &["for '--quic <ADDR>'", "the value comes from BOATO_QUIC"];
    fails(boato(&[]).env("BOATO_QUIC", "x"), 78, bad_variable);
}

#[test]
fn a_bad_variable_of_another_command_does_no_harm() {
    boato(&["keygen"]).env("BOATO_QUIC", "x").assert().success();
    boato(&["config", "print"]).env("BOATO_QUIC", "").assert().success();
}

#[test]
fn a_node_out_of_reach_is_69() {
    let addr = nobody();
    for command in [
        &["get", "k"][..],
        &["set", "k", "v"],
        &["del", "k"],
        &["where", "k"],
        &["members"],
        &["status", "--json"],
        &["leave"],
    ] {
        let text = format!("no answer from a node at http://{addr}");
        fails(boato(command).args(["--http", &addr]), 69, &[&text]);
        fails(boato(command).args(["--http", &format!("http://{addr}")]), 69, &[&text]);
        fails(boato(command).env("BOATO_HTTP", &addr), 69, &[&text]);
    }
}

#[test]
fn an_empty_key_is_refused_before_anything_is_sent() {
    fails(&mut boato(&["get", "", "--http", &nobody()]), 1, &["a key has 1 to 1024 bytes"]);
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("boato.toml");
    fs::write(&file, "name = \"file\"\ncluster = \"file\"\nweight = 7\nopen = true\n").unwrap();
    let mut command = boato(&["config", "print", "--name", "flag", "--open=false"]);
    command
        .env("BOATO_CONFIG", &file)
        .env("BOATO_NAME", "env")
        .env("BOATO_CLUSTER", "env")
        .env("BOATO_JOIN", "a,b:1");
    let text = stdout(&command.assert().success());
    for line in [
        "name = \"flag\"  # from the command line",
        "cluster = \"env\"  # from the environment",
        "open = false  # from the command line",
        "join = [\"a:7400\", \"b:1\"]  # from the environment",
        "discover = \"local\"  # default",
        &format!("weight = 7  # from {}", file.display()),
    ] {
        assert!(text.lines().any(|have| have == line), "no {line:?} in:\n{text}");
    }
    let check =
        command_of(&["config", "check", "--name", "flag"], &file).env("BOATO_CLUSTER", "env").assert();
    let said = stderr(&check.success());
    assert!(said.contains("BOATO_CLUSTER overrules cluster in") && said.lines().count() == 1, "{said}");
    let same = command_of(&["config", "check"], &file).env("BOATO_CLUSTER", "file").assert();
    assert_eq!(stderr(&same.success()), "", "there is nothing to say");
}

/// The program, told to read a configuration file.
fn command_of(args: &[&str], file: &Path) -> Command {
    let mut command = boato(args);
    command.env("BOATO_CONFIG", file);
    command
}

#[test]
fn what_config_prints_is_a_configuration_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let printed = |command: &mut Command| stdout(&command.assert().success());
    let secret = stdout(&boato(&["keygen"]).assert().success());
    let first =
        printed(boato(&["config", "print", "--leave-timeout", "90s"]).env("BOATO_SECRET", secret.trim()));
    assert!(!first.contains(secret.trim()) && first.contains("# BOATO_SECRET is set"), "{first}");
    assert!(first.contains("quic = \"0.0.0.0:7400\"  # default"), "{first}");
    let file = dir.path().join("boato.toml");
    fs::write(&file, &first).unwrap();
    let again =
        printed(boato(&["config", "print", "--config"]).arg(&file).env("BOATO_SECRET", secret.trim()));
    assert_eq!(values(&first), values(&again));
}

/// Printed lines without their comments.
fn values(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split("  # ").next().unwrap()).collect()
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_boato"))
        .env_clear()
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_value_from_a_missing_client_secret_file_is_a_configuration_error() {
    let missing = Path::new("/nowhere/secret");
    let args = ["get", "k", "--client-secret-file", missing.to_str().unwrap()];
    fails(&mut boato(&args), 78, &["cannot read the secret file /nowhere/secret"]);
}
