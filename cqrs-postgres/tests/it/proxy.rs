//! A proxy between a store and its server that counts requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that forwards everything.
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
        let target = (server.get_host().to_owned(), server.get_port());
        let answered = Arc::new(AtomicUsize::new(0));
        let (count, bytes) = (Arc::clone(&requests), Arc::clone(&answered));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target.clone()).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&count), Arc::clone(&bytes)));
            }
        });
        Self { options: server.clone().host("127.0.0.1").port(port), requests, answered }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The number of packets sent by clients. A small request is one packet.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The number of bytes sent by the server.
    pub(crate) fn answered_bytes(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

async fn forward(
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
