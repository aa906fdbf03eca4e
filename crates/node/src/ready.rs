//! The file that tells scripts where a node listens.

use std::net::SocketAddr;
use std::path::Path;

use boato_gossip::NodeId;

use crate::doors::Addresses;
use crate::files;
use crate::start_error::StartError;

/// Writes `{"id","name","quic","http","resp","resp_cluster"}` to `path`, if there is one, in one step; doors that are not there
/// are null.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(
    path: Option<&Path>,
    id: NodeId,
    name: &str,
    quic: SocketAddr,
    doors: &Addresses,
) -> Result<(), StartError> {
    let Some(path) = path else { return Ok(()) };
    let Addresses { http, resp, resp_cluster } = doors;
    let ready = serde_json::json!({
        "id": id.to_string(), "name": name, "quic": quic, "http": http, "resp": resp, "resp_cluster": resp_cluster
    });
    files::replace(path, format!("{ready}\n").as_bytes())
        .map_err(|source| StartError::ReadyFile { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_id_name_and_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        let [quic, http, resp] =
            ["127.0.0.1:7400", "[::1]:7480", "127.0.0.1:7379"].map(|text| text.parse().unwrap());
        let doors = Addresses { http, resp: Some(resp), resp_cluster: None };
        write(Some(&path), NodeId(7), "web1", quic, &doors).unwrap();
        let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "id": "00000000000000000000000000000007", "name": "web1", "quic": "127.0.0.1:7400", "http": "[::1]:7480",
            "resp": "127.0.0.1:7379", "resp_cluster": null
        });
        assert_eq!(ready, expected);
    }
}
