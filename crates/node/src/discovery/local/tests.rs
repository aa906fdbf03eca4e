use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use boato_gossip::NodeId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Discover;
use crate::discovery::Found;

const WAIT: Duration = Duration::from_secs(10);

fn addr(node: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7400 + node))
}

fn plan(cluster: &str, node: u16) -> Plan {
    let (cluster, node, addr) = (cluster.to_owned(), NodeId(node.into()), addr(node));
    Plan { cluster, node, addr, discover: Discover::Local, join: Vec::new() }
}

fn open(root: &Path, cluster: &str, node: u16) -> Rendezvous {
    Rendezvous::open(root, &plan(cluster, node)).unwrap()
}

/// A directory that does not exist yet, and its parent that goes with the test.
fn root() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("boato");
    (parent, root)
}

#[test]
fn neighbours_of_the_same_cluster_see_each_other_and_not_themselves() {
    let (_parent, root) = root();
    let mut a = open(&root, "edge", 1);
    assert!(a.look().is_empty());
    let mut b = open(&root, "edge", 2);
    let mut other = open(&root, "other", 3);
    assert_eq!(a.look(), [addr(2)]);
    assert_eq!(b.look(), [addr(1)]);
    assert!(other.look().is_empty());
    drop(b);
    assert!(a.look().is_empty());
}

#[test]
fn nothing_is_left_behind_by_the_last_node() {
    let (_parent, root) = root();
    let (a, b) = (open(&root, "edge", 1), open(&root, "edge", 2));
    drop(a);
    assert!(root.join("edge").exists());
    drop(b);
    assert!(!root.join("edge").exists());
}

#[test]
fn the_file_of_a_process_that_is_gone_is_removed() {
    let (_parent, root) = root();
    let mut a = open(&root, "edge", 1);
    let stale = root.join("edge").join(NodeId(2).to_string());
    fs::write(&stale, addr(2).to_string()).unwrap();
    assert!(a.look().is_empty());
    assert!(!stale.exists());
}

#[test]
fn files_that_are_no_nodes_are_left_alone() {
    let (_parent, root) = root();
    let mut a = open(&root, "edge", 1);
    let note = root.join("edge/README");
    fs::write(&note, "127.0.0.1:1").unwrap();
    assert!(a.look().is_empty());
    assert!(note.exists());
    // A node that has locked its file and not written its address yet, or one that writes nonsense.
    let half = fs::File::create(root.join("edge").join(NodeId(2).to_string())).unwrap();
    half.lock().unwrap();
    assert!(a.look().is_empty());
}

#[test]
fn a_file_that_somebody_removed_is_written_again() {
    let (_parent, root) = root();
    let mut a = open(&root, "edge", 1);
    let mut b = open(&root, "edge", 2);
    fs::remove_dir_all(&root).unwrap();
    assert!(a.look().is_empty());
    assert_eq!(b.look(), [addr(1)]);
    assert_eq!(a.look(), [addr(2)]);
}

#[test]
fn a_node_that_starts_again_takes_its_stale_file_over() {
    let (_parent, root) = root();
    drop(open(&root, "edge", 1));
    fs::create_dir_all(root.join("edge")).unwrap();
    fs::write(
        root.join("edge").join(NodeId(1).to_string()),
        "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    )
    .unwrap();
    let _a = open(&root, "edge", 1);
    assert_eq!(open(&root, "edge", 2).look(), [addr(1)]);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_input_output_error() {
    let (parent, _) = root();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = Rendezvous::open(&file.join("boato"), &plan("edge", 1)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Io(_))), "{refused:?}");
}

#[cfg(unix)]
mod owned {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    use super::*;

    fn refused(root: &Path) -> String {
        match Rendezvous::open(root, &plan("edge", 1)) {
            Err(OpenError::Foreign(error)) => error.to_string(),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    #[test]
    fn a_link_or_a_file_in_place_of_the_directory_is_refused() {
        let (parent, root) = root();
        fs::write(&root, "").unwrap();
        assert!(refused(&root).contains("is not a directory, so it cannot be trusted"));
        fs::remove_file(&root).unwrap();
        symlink(parent.path(), &root).unwrap();
        assert!(refused(&root).contains("start with --discover off"));
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let (_parent, root) = root();
        fs::create_dir(&root).unwrap();
        // Only the superuser can give a directory away; everybody else is refused the superuser's.
        let foreign = if chown(&root, Some(12_345), None).is_ok() { root } else { PathBuf::from("/") };
        assert!(refused(&foreign).contains("owned by another user"));
    }

    #[test]
    fn the_directory_is_for_its_user_alone() {
        let (_parent, root) = root();
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        let _a = open(&root, "edge", 1);
        assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn a_neighbour_is_reported_until_the_source_is_told_to_end() {
    let (_parent, root) = root();
    let _neighbour = open(&root, "edge", 2);
    let (sender, mut found) = mpsc::channel(1);
    let (_joined, watch) = watch::channel(false);
    let shutdown = CancellationToken::new();
    let sink = Sink { sender, shutdown: shutdown.clone() };
    let source = tokio::spawn(run(vec![open(&root, "edge", 1)], sink, Pace::new(watch, shutdown.clone())));
    for _ in 0..3 {
        let report = tokio::time::timeout(WAIT, found.recv()).await.unwrap();
        assert_eq!(report, Some(Found { addr: addr(2), source: Source::Local }));
    }
    shutdown.cancel();
    tokio::time::timeout(WAIT, source).await.unwrap().unwrap();
    assert!(!root.join("edge").join(NodeId(1).to_string()).exists());
}
