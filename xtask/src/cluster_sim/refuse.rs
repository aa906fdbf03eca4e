//! What was given and would change nothing is refused before a run, so that nobody takes its figures for those of another.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use boato_sim::membership::{Protocol, Scenario};

use super::options::Options;

/// The first of the options named that was given is refused.
pub(super) fn foreign(given: &[(&str, bool)]) -> Result<()> {
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) => bail!("{flag} means nothing to this --workload: leave it out"),
        None => Ok(()),
    }
}

/// Refuses flags that mean nothing in `scenario`, which flags and a file have made. What the file says is not judged: it may be
/// there for other runs.
pub(super) fn meaningless(flags: &Options, scenario: &Scenario, frontier: bool) -> Result<()> {
    let protocol = scenario.protocol;
    ensure!(
        !frontier || protocol == Protocol::Boato,
        "--frontier varies settings that only --protocol boato has: leave --protocol out"
    );
    ensure!(
        !frontier || scenario.crashes > 0,
        "--frontier measures how soon crashes are found: give --crashes"
    );
    let settings: &[_] = &["suspicion", "suspicion_max", "probe_interval"];
    let rules: [(&[&str], bool, &str); 6] = [
        (settings, protocol == Protocol::Foca, "foca has settings of its own: leave it out"),
        (settings, frontier, "--frontier tries settings of its own: leave it out"),
        (
            &["suspicion_max"],
            protocol == Protocol::BoatoSwim,
            "without Lifeguard suspicions have one length: leave it out",
        ),
        (&["down", "new_address"], scenario.restarts == 0, "no node starts again: give --restarts"),
        (&["stall", "between", "mute"], scenario.stalls == 0, "no node stands still: give --stalls"),
        (&["one_way"], scenario.partition.is_zero(), "nothing is cut: give --partition"),
    ];
    let given = flags.given();
    for (names, applies, why) in rules {
        if let Some(name) = given.iter().find(|name| applies && names.contains(name)) {
            bail!("--{} would change nothing, as {why}", name.replace('_', "-"));
        }
    }
    Ok(())
}

/// Makes sure that what a run finds can be written to a file, and leaves the file as it was.
pub(super) fn writable(file: &Path) -> Result<()> {
    let there = file.exists();
    OpenOptions::new().append(true).create(true).open(file).with_context(|| {
        format!("{} cannot be written: name a file that can, in a folder that there is", file.display())
    })?;
    if !there {
        std::fs::remove_file(file).with_context(|| format!("removing {} again", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::options::Protocol as Named;
    use super::*;

    fn refused(file: &str, flags: &str, frontier: bool) -> Option<String> {
        let [file, flags]: [Options; 2] = [file, flags].map(|text| toml::from_str(text).unwrap());
        let scenario = flags.clone().or(file).scenario().unwrap();
        meaningless(&flags, &scenario, frontier).err().map(|error| error.to_string())
    }

    #[test]
    fn flags_that_would_change_nothing_are_refused_by_name_with_what_to_do() {
        let cases = [
            ("protocol = 'foca'\nprobe-interval = '1s'", "--probe-interval", "leave it out"),
            ("protocol = 'foca'\nsuspicion = 4", "--suspicion", "leave it out"),
            ("protocol = 'boato-swim'\nsuspicion-max = 2", "--suspicion-max", "leave it out"),
            ("down = '3s'", "--down", "--restarts"),
            ("new-address = true", "--new-address", "--restarts"),
            ("stall = '3s'", "--stall", "--stalls"),
            ("between = '3s'", "--between", "--stalls"),
            ("mute = true", "--mute", "--stalls"),
            ("one-way = true", "--one-way", "--partition"),
        ];
        for (flags, name, remedy) in cases {
            let error = refused("", flags, false).unwrap_or_else(|| panic!("{flags} was taken"));
            assert!(error.starts_with(&format!("{name} ")) && error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn the_frontier_takes_no_setting_that_it_varies_and_no_protocol_without_them() {
        for flags in ["suspicion = 4", "suspicion-max = 2", "probe-interval = '1s'", "crashes = 0"] {
            let error = refused("", flags, true).unwrap_or_else(|| panic!("{flags} was taken"));
            assert!(error.contains("--frontier"), "{error}");
        }
        for protocol in [Named::Foca, Named::BoatoSwim] {
            let flags = Options { protocol: Some(protocol), ..Options::default() };
            assert!(meaningless(&flags, &flags.scenario().unwrap(), true).is_err(), "{protocol:?}");
        }
        assert_eq!(refused("", "nodes = 40\ncrashes = 4\nstalls = 8\nstall = '8s'", true), None);
    }

    #[test]
    fn what_means_something_is_taken_and_a_file_may_serve_other_runs_too() {
        for (file, flags) in [
            ("", "protocol = 'boato-swim'\nsuspicion = 5\nprobe-interval = '1s'"),
            ("", "suspicion = 4\nsuspicion-max = 2\nprobe-interval = '1s'"),
            ("", "restarts = 1\ndown = '3s'\nnew-address = true"),
            ("", "stalls = 1\nstall = '3s'\nbetween = '1s'\nmute = true"),
            ("", "partition = 1.0\none-way = true"),
            ("restarts = 1", "down = '3s'"),
            ("suspicion = 4\nprobe-interval = '1s'\nmute = true", "protocol = 'foca'"),
        ] {
            assert_eq!(refused(file, flags, false), None, "{flags}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_before_the_run_and_one_that_can_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let error = writable(&folder.path().join("missing/page.html")).unwrap_err();
        assert!(error.to_string().contains("in a folder that there is"), "{error}");
        assert!(writable(folder.path()).is_err(), "a folder");
        let file = folder.path().join("page.html");
        writable(&file).unwrap();
        assert!(!file.exists());
        std::fs::write(&file, "earlier").unwrap();
        writable(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "earlier");
    }
}
