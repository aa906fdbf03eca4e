//! The file that tells scripts where a node listens.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use boato_gossip::NodeId;

use crate::files;

/// Writes `{"id","name","quic","http"}` to `path` in one step.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, id: NodeId, name: &str, quic: SocketAddr, http: SocketAddr) -> io::Result<()> {
    let ready = serde_json::json!({ "id": id.to_string(), "name": name, "quic": quic, "http": http });
    files::replace(path, format!("{ready}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_id_name_and_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        let [quic, http] = ["127.0.0.1:7400", "[::1]:7480"].map(|text| text.parse().unwrap());
        write(&path, NodeId(7), "web1", quic, http).unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "id": "00000000000000000000000000000007", "name": "web1", "quic": "127.0.0.1:7400", "http": "[::1]:7480"
        });
        assert_eq!(ready, expected);
    }
}
