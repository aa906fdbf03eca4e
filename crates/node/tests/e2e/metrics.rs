//! What a node counts is what docs/metrics.md lists, and what dashboard and alerts ask for is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::{Cluster, Node, ensure, wait};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Families by the name of their samples, each as a row of the document.
fn families(text: &str) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let helps: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let family = name.strip_suffix("_total").unwrap_or(name);
        let mut labels = BTreeSet::new();
        let samples = text.lines().filter(|line| line.starts_with(family) && !line.starts_with('#'));
        for sample in samples.filter(|sample| sample[family.len()..].starts_with(['{', '_'])) {
            let Some((start, end)) = sample.find('{').zip(sample.find('}')) else { continue };
            let keys = sample[start + 1..end].split("\",").filter_map(|pair| pair.split_once('='));
            let of_this = sample[..start].trim_start_matches(family);
            if ["", "_total", "_bucket", "_count", "_sum"].contains(&of_this) {
                labels.extend(keys.map(|(key, _)| key.to_owned()).filter(|key| key != "le"));
            }
        }
        let labels = labels.into_iter().collect::<Vec<_>>().join(", ");
        let help = helps[name].trim_end_matches('.');
        rows.insert(name.to_owned(), format!("| `{name}` | {kind} | {labels} | {help} |"));
    }
    rows
}

/// Nodes that have done a bit of everything, and what the first then counts.
fn counted(cluster: &str) -> ([Node; 2], String) {
    let nodes = Cluster::new(cluster).start(["one", "two"]);
    for key in 0..20 {
        nodes[0].client().put(&format!("/k{key}"), "v");
        nodes[0].client().get(&format!("/k{key}"));
    }
    let mut resp =
        redis::Client::open(format!("redis://{}", nodes[0].resp)).unwrap().get_connection().unwrap();
    let _: Option<String> = redis::cmd("GET").arg("none").query(&mut resp).unwrap();
    let text = nodes[0].client().get("/_/metrics").text();
    (nodes, text)
}

#[test]
fn every_member_tells_the_load_of_all() {
    const MIB: u64 = 1 << 20;
    let cluster = Cluster::new("figures");
    let limited = |(name, limit)| cluster.node(name).arg("--max-memory", limit).start();
    let [one, two] = [("one", "64MiB"), ("two", "32MiB")].map(limited);
    Cluster::settle(&[&one, &two]);
    for (node, limits) in [(&one, [64 * MIB, 32 * MIB]), (&two, [32 * MIB, 64 * MIB])] {
        let status: Value = serde_json::from_str(&node.client().get("/_/status").text()).unwrap();
        let own = status["id"].as_str().unwrap();
        wait("both tell their load", || {
            let text = node.client().get("/_/figures").text();
            let told: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
            let (mine, others): (Vec<_>, Vec<_>) = told.iter().partition(|(id, _)| *id == own);
            let limit = |figures: &[(&String, &Value)]| figures.first().map(|it| it.1["max_memory"].clone());
            let shown = [limit(&mine), limit(&others)];
            ensure(shown == limits.map(|limit| Some(limit.into())), || text)
        });
    }
}

#[test]
fn the_document_lists_exactly_what_is_counted() {
    let (_nodes, text) = counted("documented");
    let rows = families(&text);
    let document = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let listed: BTreeSet<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    let missing: Vec<&String> = rows.values().filter(|row| !listed.contains(row.as_str())).collect();
    let names: BTreeSet<&str> = rows.values().map(String::as_str).collect();
    let wrong: Vec<&&str> = listed.iter().filter(|row| !names.contains(**row)).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "not in docs/metrics.md: {missing:#?}\nonly there: {wrong:#?}"
    );
}

#[test]
fn dashboard_and_alerts_ask_for_what_is_counted() {
    let (_nodes, text) = counted("alerted");
    let names: BTreeSet<String> = families(&text).into_keys().collect();
    let known = |name: &str| {
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        names.contains(name) || names.contains(base)
    };
    let packaging = repository().join("packaging");
    let dashboard = fs::read_to_string(packaging.join("grafana/boato.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let mut asked: Vec<String> = Vec::new();
    for panel in parsed["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            asked.push(target["expr"].as_str().unwrap().to_owned());
        }
    }
    let alerts =
        YamlLoader::load_from_str(&fs::read_to_string(packaging.join("prometheus/alerts.yaml")).unwrap());
    for rule in alerts.unwrap()[0]["groups"][0]["rules"].as_vec().unwrap() {
        assert!(
            rule["annotations"]["summary"].as_str().is_some()
                && rule["labels"]["severity"].as_str().is_some()
        );
        asked.push(rule["expr"].as_str().unwrap().to_owned());
    }
    assert!(asked.len() > 30, "{} expressions", asked.len());
    // Without one set of labels on both sides a comparison of two rates is one of nothing.
    for expression in asked
        .iter()
        .filter(|expression| expression.contains("holder=\"unknown\"}[5m]") && expression.contains('>'))
    {
        assert!(expression.matches("sum by (job, instance)").count() == 2, "{expression}");
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for expression in &asked {
        let words = expression.split(|c| !word(c));
        let metrics: Vec<&str> =
            words.filter(|w| w.starts_with("boato_") || w.starts_with("process_")).collect();
        assert!(expression.contains("up{job=") || !metrics.is_empty(), "{expression}");
        for name in metrics {
            assert!(known(name), "{name} in {expression} is not counted");
        }
    }
    let operations = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let text = fs::read_to_string(packaging.join("prometheus/alerts.yaml")).unwrap();
    for alert in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(operations.contains(alert), "docs/operations.md does not say what to do at {alert}");
    }
}

#[test]
fn manifests_are_what_they_should_be() {
    let packaging = repository().join("packaging");
    let load =
        |path: &str| YamlLoader::load_from_str(&fs::read_to_string(packaging.join(path)).unwrap()).unwrap();
    let objects = load("kubernetes/boato.yaml");
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Service", "Service", "PodDisruptionBudget", "StatefulSet"]);
    let container = &objects[3]["spec"]["template"]["spec"]["containers"][0];
    let spec = &objects[3]["spec"]["template"]["spec"];
    let minutes = |text: &str| text.strip_suffix('m').unwrap().parse::<i64>().unwrap();
    let mut variables = container["env"].as_vec().unwrap().iter();
    let leave = variables.find(|entry| entry["name"].as_str() == Some("BOATO_LEAVE_TIMEOUT")).unwrap();
    let drain: Vec<_> =
        container["lifecycle"]["preStop"]["exec"]["command"].as_vec().unwrap().iter().collect();
    let place = drain.iter().position(|word| word.as_str() == Some("--timeout")).unwrap();
    let needed = minutes(leave["value"].as_str().unwrap()) + minutes(drain[place + 1].as_str().unwrap());
    assert!(
        spec["terminationGracePeriodSeconds"].as_i64().unwrap() > needed * 60,
        "no time to drain and to leave"
    );
    let settings = container["env"].as_vec().unwrap().iter().map(|entry| &entry["name"]);
    let compose = load("container/compose.yaml");
    let environment = compose[0]["services"]["boato"]["environment"].as_hash().unwrap().keys();
    // Built, started and deployed under one name.
    let image = format!("boato:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"].as_str(), Some(&*image));
    assert_eq!(compose[0]["services"]["boato"]["image"].as_str(), Some(&*image));
    let containerfile = fs::read_to_string(packaging.join("container/Containerfile")).unwrap();
    assert!(containerfile.contains(&format!("-t {image} .")), "another image is built");
    let help = String::from_utf8(crate::harness::boato(["run", "--help"]).stdout).unwrap();
    for variable in settings.chain(environment).map(Yaml::as_str) {
        assert!(help.contains(&format!("[env: {}", variable.unwrap())), "no setting has {variable:?}");
    }
}

#[test]
fn what_packages_tell_a_node_stands_in_files_that_an_operator_can_change() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, crate::harness::boato(["keygen"]).stdout).unwrap();
    for file in ["boato.toml", "container/boato.toml"] {
        let file = repository().join("packaging").join(file);
        let check = ["config", "check", "--config", file.to_str().unwrap()];
        let secret = secret.to_str().unwrap();
        let secrets = ["--secret-file", secret, "--client-secret-file", secret];
        let said = crate::harness::boato(check.into_iter().chain(secrets));
        assert!(said.status.success(), "{said:?}");
    }
    // A variable would overrule the file.
    let unit = fs::read_to_string(repository().join("packaging/systemd/boato.service")).unwrap();
    assert!(!unit.lines().any(|line| line.starts_with("Environment=")), "{unit}");
    let containerfile = fs::read_to_string(repository().join("packaging/container/Containerfile")).unwrap();
    let mut variables = containerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    assert_eq!((variables.next(), variables.next()), (Some("BOATO_CONFIG=/etc/boato/boato.toml"), None));
}
