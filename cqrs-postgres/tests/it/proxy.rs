//! Between a store and its server: counts what is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that passes everything on.
pub(crate) struct Proxy {
    options: PgConnectOptions,
    requests: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn before(server: &PgConnectOptions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let behind = (server.get_host().to_owned(), server.get_port());
        let answered = Arc::new(AtomicUsize::new(0));
        let (count, bytes) = (Arc::clone(&requests), Arc::clone(&answered));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(behind.clone()).await.unwrap();
                tokio::spawn(pass_on(client, server, Arc::clone(&count), Arc::clone(&bytes)));
            }
        });
        Self { options: server.clone().host("127.0.0.1").port(port), requests, answered }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// How often a client sent something. A round trip sends once, as long as it is small.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How much the server has answered.
    pub(crate) fn answered_bytes(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    client: TcpStream,
    server: TcpStream,
    requests: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            answered.fetch_add(length, Ordering::SeqCst);
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    });
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
        requests.fetch_add(1, Ordering::SeqCst);
        if to_server.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    answers.abort();
}
