//! A RESP door to test against.

use std::net::SocketAddr;
use std::sync::Arc;

use boato_api::resp::{Config, Kind, Limits, run};
use boato_api::{Token, Tokens};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::map::Map;
pub(crate) use crate::wire::{PATIENCE, TestClient, encoded};

pub(crate) struct TestDoor {
    pub(crate) addr: SocketAddr,
    pub(crate) map: Arc<Map>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

impl TestDoor {
    pub(crate) async fn open() -> TestDoor {
        TestDoor::with(Config::default()).await
    }

    pub(crate) async fn for_cluster_clients() -> TestDoor {
        TestDoor::with(Config { kind: Kind::Cluster, ..Config::default() }).await
    }

    pub(crate) async fn limited(limits: Limits) -> TestDoor {
        TestDoor::with(Config { limits, ..Config::default() }).await
    }

    pub(crate) async fn locked(password: &str) -> TestDoor {
        TestDoor::with(Config { passwords: Tokens::new([Token::new(password)]), ..Config::default() }).await
    }

    pub(crate) async fn with(config: Config) -> TestDoor {
        TestDoor::on(Map::new(), config).await
    }

    /// A door for any client to the keys of another one.
    pub(crate) async fn over(door: &TestDoor) -> TestDoor {
        TestDoor::on(Arc::clone(&door.map), Config::default()).await
    }

    async fn on(map: Arc<Map>, config: Config) -> TestDoor {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let backend = Arc::clone(&map);
        let served = tokio::spawn(run(listener, backend, config, shutdown.clone().cancelled_owned()));
        TestDoor { addr, map, shutdown, served }
    }

    pub(crate) async fn client(&self) -> TestClient {
        TestClient::connect(self.addr).await
    }
}
