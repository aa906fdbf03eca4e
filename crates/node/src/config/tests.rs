use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::*;

/// 128 bits, as `boato keygen` prints them but shorter.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODw==";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The settings of a file with this content.
fn file(content: &str) -> Settings {
    toml::from_str(content).unwrap()
}

fn config(content: &str) -> Config {
    Config::new(&file(content)).unwrap()
}

fn error(content: &str) -> String {
    format!("{:#}", anyhow::Error::from(Config::new(&file(content)).unwrap_err()))
}

/// A directory with secret files; the settings that name them.
struct Secrets {
    dir: tempfile::TempDir,
}

impl Secrets {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// The line `key = "path"` for a new file with this content.
    fn line(&self, key: &str, content: &str) -> String {
        format!("{key} = {:?}\n", self.path(key, content))
    }

    fn path(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn without_settings_a_node_stays_on_this_machine() {
    let config = config("");
    assert_eq!(config.cluster, "boato");
    assert_eq!(config.quic, Listen { addr: addr("127.0.0.1:7400"), asked: false });
    assert_eq!(config.http, Listen { addr: addr("127.0.0.1:7480"), asked: false });
    assert_eq!(config.resp, Some(Listen { addr: addr("127.0.0.1:7379"), asked: false }));
    assert_eq!(config.resp_cluster, Some(Listen { addr: addr("127.0.0.1:17379"), asked: false }));
    assert_eq!((config.discover, config.weight, config.open), (Discover::Local, 1, false));
    assert_eq!((config.max_memory, config.name, config.log.as_str()), (None, None, "info"));
    assert_eq!((config.handoff_rate, config.min_members), (None, 1));
}

#[test]
fn every_setting_is_taken() {
    let config = config(
        r#"
        name = "web1"
        cluster = "edge"
        quic = 0
        http = "[::1]:0"
        resp = 6379
        resp-cluster = "none"
        join = ["a:1", "dns://b"]
        data-dir = "/d"
        weight = "auto"
        max-memory = "3GiB"
        handoff-rate = "20MiB"
        min-members = 3
        discover = "off"
        leave-timeout = "500ms"
        open = true
        allow-host = ["KV.example"]
        ready-file = "/r"
        advertise = "127.0.0.1:9"
        log = "debug"
        "#,
    );
    assert_eq!((config.name.as_deref(), config.cluster.as_str()), (Some("web1"), "edge"));
    assert_eq!(config.quic, Listen { addr: addr("127.0.0.1:0"), asked: true });
    assert_eq!(config.http, Listen { addr: addr("[::1]:0"), asked: true });
    assert_eq!(config.resp, Some(Listen { addr: addr("127.0.0.1:6379"), asked: true }));
    assert_eq!(config.resp_cluster, None);
    assert_eq!(config.join, ["a:1".parse().unwrap(), "dns://b:7400".parse().unwrap()]);
    assert_eq!((config.data_dir, config.ready_file), (Some("/d".into()), Some("/r".into())));
    assert_eq!((config.weight, config.max_memory), (3, Some(3 << 30)));
    assert_eq!((config.handoff_rate, config.min_members), (Some(20 << 20), 3));
    assert_eq!((config.discover, config.leave_timeout.as_millis()), (Discover::Off, 500));
    assert_eq!((config.open, config.allow_host), (true, vec!["kv.example".to_owned()]));
    assert_eq!(config.advertise, Some("127.0.0.1:9".parse().unwrap()));
    assert_eq!(config.log, "debug");
}

#[test]
fn an_unknown_key_or_a_bad_value_in_a_file_is_named() {
    for (content, why) in [
        ("qick = 1", "unknown field `qick`"),
        ("data_dir = \"/d\"", "unknown field `data_dir`"),
        ("quic = \"x:y\"", "the port \"y\" is not a number"),
        ("weight = 65536", "from 0 to 65535"),
        ("weight = true", "expected text or a whole number"),
        ("max-memory = \"lots\"", "like 512MiB"),
        ("handoff-rate = \"fast\"", "like 512MiB"),
        ("min-members = -1", "invalid digit"),
        ("min-members = \"most\"", "invalid digit"),
        ("leave-timeout = \"soon\"", "like 25s"),
        (
            "discover = \"carrier-pigeon\"",
            "unknown variant `carrier-pigeon`, expected one of `local`, `mdns`, `off`",
        ),
        ("join = [\"x:0\"]", "port 0 cannot be dialled"),
        ("advertise = \"0.0.0.0\"", "unspecified"),
        ("name = ", "TOML"),
    ] {
        let error = toml::from_str::<Settings>(content).unwrap_err().to_string();
        assert!(error.contains(why), "{content}: {error}");
    }
}

#[test]
fn rules_between_settings_say_what_to_do() {
    for (content, why) in [
        ("quic = \"0.0.0.0:7400\"", "quic: without a secret a node talks to nodes on this machine only"),
        ("quic = \"192.0.2.7:7400\"", "boato keygen > secret"),
        ("discover = \"mdns\"", "discover: discovery by mdns reaches other machines and needs a secret"),
        ("http = \"0.0.0.0:80\"", "http: 0.0.0.0:80 is reachable from other machines"),
        ("http = \"[::]:80\"", "--client-secret-file FILE, or say --open"),
        ("resp = \"0.0.0.0:80\"", "resp: 0.0.0.0:80 is reachable from other machines"),
        ("resp-cluster = \"0.0.0.0:80\"", "resp-cluster: 0.0.0.0:80 is reachable"),
        ("handoff-rate = 0", "handoff-rate: at 0 bytes per second no key ever moves"),
        ("name = \"a b\"", "a node name has"),
        ("cluster = \"../x\"", "a cluster name has"),
        ("allow-host = [\"a:1\"]", "a host name has"),
        ("log = \"=x=\"", "is not a log filter"),
        ("secret-file = \"/nowhere\"", "cannot read the secret file /nowhere"),
        ("client-secret-file = \"/nowhere\"", "cannot read the secret file /nowhere"),
    ] {
        let error = error(content);
        assert!(error.contains(why), "{content}: {error}");
    }
}

#[test]
fn a_door_to_the_network_is_open_or_has_a_client_secret() {
    let secrets = Secrets::new();
    assert!(config("http = \"0.0.0.0:80\"\nopen = true").open);
    let config = config(&(secrets.line("client-secret-file", " s3cret\n") + "http = \"0.0.0.0:80\""));
    assert_eq!(config.client_secret.unwrap().as_str(), "s3cret");
    for content in ["", " \n", "two words", "caf\u{e9}"] {
        let error = error(&secrets.line("client-secret-file", content));
        assert!(error.contains("does not hold client secrets"), "{content:?}: {error}");
    }
}

#[test]
fn a_secret_opens_the_endpoint_and_chooses_the_discovery() {
    let secrets = Secrets::new();
    let line = secrets.line("secret-file", &format!("\n {SECRET} \n"));
    let alone = config(&line);
    assert_eq!((alone.quic.addr, alone.discover), (addr("0.0.0.0:7400"), Discover::Mdns));
    assert_eq!(config(&format!("{line}join = [\"a\"]")).discover, Discover::Off);
    assert_eq!(config(&format!("{line}join = [\"a\"]\ndiscover = \"mdns\"")).discover, Discover::Mdns);
    assert_eq!(config(&format!("{line}quic = 7401")).quic.addr, addr("0.0.0.0:7401"));
    let error = error(&secrets.line("secret-file", "c2hvcnQ="));
    assert!(error.contains("does not hold a cluster secret (boato keygen makes one): "), "{error}");
    assert!(!error.contains("c2hvcnQ="), "{error}");
}

#[test]
fn the_secret_of_the_source_that_ranks_highest_is_used() {
    let secrets = Secrets::new();
    let path = secrets.path("secret", SECRET);
    let other = "AQEBAQEBAQEBAQEBAQEBAQ==";
    let resolve = |origin: Origin| {
        let mut layers = Layers::default();
        let settings = Settings { secret_file: Some(path.clone()), ..Settings::default() };
        layers.add(&settings, |_| origin.clone()).unwrap();
        Config::resolve(&layers, Some(other)).map(|config| config.secret.unwrap())
    };
    let parse = |text| Secret::parse(text).unwrap();
    assert_eq!(resolve(Origin::Flag).unwrap(), parse(SECRET));
    assert_eq!(resolve(Origin::File("f".into())).unwrap(), parse(other));
    assert!(matches!(resolve(Origin::Environment), Err(ConfigError::TwoSecrets)));
    assert_eq!(Config::resolve(&Layers::default(), Some(other)).unwrap().secret, Some(parse(other)));
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_others_can_read_gives_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let secrets = Secrets::new();
    let line = secrets.line("secret-file", SECRET);
    let path = secrets.dir.path().join("secret-file");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(config(&line).warnings.len(), warnings, "{mode:o}");
    }
}

#[test]
fn later_layers_win_and_every_value_knows_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("boato.toml");
    fs::write(&path, "name = \"file\"\ncluster = \"file\"\njoin = [\"file\"]\n").unwrap();
    let mut layers = Layers::default();
    layers.add_file(&path).unwrap();
    layers.add(&file("name = \"flag\"\njoin = [\"flag\"]"), |_| Origin::Flag).unwrap();
    let config = Config::resolve(&layers, None).unwrap();
    assert_eq!((config.name.as_deref(), config.cluster.as_str()), (Some("flag"), "file"));
    assert_eq!(config.join, ["flag".parse().unwrap()]);
    let text = config.complete(&layers).unwrap().to_toml();
    assert!(text.contains("name = \"flag\"  # from the command line\n"), "{text}");
    assert!(text.contains(&format!("cluster = \"file\"  # from {}\n", path.display())), "{text}");
    assert!(text.contains("weight = 1  # default\n"), "{text}");
    assert!(text.contains("# data-dir is not set\n"), "{text}");
}

#[test]
fn a_file_that_is_missing_or_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("boato.toml");
    let error = |path: &PathBuf| {
        let error = Layers::default().add_file(path).unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    };
    assert!(error(&path).contains("cannot read the configuration file"));
    fs::write(&path, "name = \"a\"\nqick = 1\n").unwrap();
    let text = error(&path);
    assert!(
        text.contains("boato.toml") && text.contains("unknown field `qick`") && text.contains("line 2"),
        "{text}"
    );
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let secrets = Secrets::new();
    let content = secrets.line("secret-file", SECRET)
        + "join = [\"a\", \"dns://b:1\"]\nmax-memory = \"1GiB\"\nresp = \"off\"\nhandoff-rate = \"1MiB\"\nmin-members = 2\nweight = \"auto\"\nallow-host = [\"x\"]\ntag = [\"a=b\"]\non-event = [\"true\"]\non-query = \"true\"\nreplay = true\nprofile = \"wan\"\n";
    for content in ["", &content] {
        let mut layers = Layers::default();
        layers.add(&file(content), |_| Origin::Environment).unwrap();
        let first = Config::resolve(&layers, None).unwrap();
        let text = first.complete(&layers).unwrap().to_toml();
        assert!(!text.contains(SECRET));
        let second = config(&text);
        assert!(second.quic.asked && second.http.asked);
        let addr = |listen: Option<Listen>| listen.map(|listen| listen.addr);
        let listen = |config: &Config| {
            (config.quic.addr, config.http.addr, addr(config.resp), addr(config.resp_cluster))
        };
        assert_eq!(listen(&first), listen(&second));
        let Config { quic, http, resp, resp_cluster, .. } = first.clone();
        let same = Config { quic, http, resp, resp_cluster, ..second };
        assert_eq!(format!("{first:?}"), format!("{same:?}"));
    }
}
