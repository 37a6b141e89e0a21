//! The stream of a connection: plain, or under TLS from the beginning or from STARTTLS on, and over either DEFLATE from COMPRESS on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::deflate::Deflated;

/// What bytes go through.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// As they are, on a socket of this host.
    Local(UnixStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Compressed (RFC 4978).
    Deflate(Box<Deflated>),
    /// Nowhere: the change to TLS failed.
    Closed,
}

/// Calls a method of whatever stream it is.
macro_rules! each {
    ($stream:expr, $call:ident($($argument:expr),*), $closed:expr) => {
        match $stream.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$call($($argument),*),
            Stream::Local(stream) => Pin::new(stream).$call($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$call($($argument),*),
            Stream::Deflate(stream) => Pin::new(stream.as_mut()).$call($($argument),*),
            Stream::Closed => Poll::Ready($closed),
        }
    };
}

/// Waits until a socket has bytes, and only then makes room for them.
macro_rules! read_when_there {
    ($stream:expr, $input:expr, $room:expr) => {
        loop {
            // A client that never stops sending gives the others their turn; `readable` alone would not.
            tokio::task::coop::consume_budget().await;
            $stream.readable().await?;
            $input.reserve($room);
            match $stream.try_read_buf($input) {
                // What was told of it was old: the room is not kept while nothing comes.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && $input.is_empty() => *$input = Vec::new(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    };
}

impl Stream {
    /// Reads what is there, or waits for it; room for it is made in `input` when it comes, so that a client that says nothing costs none. What
    /// another layer may hold back already (TLS, DEFLATE) cannot be waited for in this way. 0: the end.
    ///
    /// # Errors
    /// What the network did.
    pub async fn read_some(&mut self, input: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => read_when_there!(stream, input, room),
            Stream::Local(stream) => read_when_there!(stream, input, room),
            _ => {}
        }
        input.reserve(room);
        self.read_buf(input).await
    }
}

/// What is known of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It is there.
    There,
    /// It sends nothing more. It may listen: what is written to it says whether it does.
    Silent,
    /// It does not listen any more.
    Gone,
}

impl Stream {
    /// What the network has told of the other end, without reading.
    pub async fn peer(&self) -> Peer {
        let both = Interest::READABLE | Interest::WRITABLE;
        let tcp = match self {
            Stream::Plain(tcp) => tcp,
            Stream::Local(local) => return told(local.ready(both)).await,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::Deflate(deflated) => return Box::pin(deflated.below().peer()).await,
            Stream::Closed => return Peer::Gone,
        };
        told(tcp.ready(both)).await
    }
}

/// What a socket tells at once.
async fn told(ready: impl Future<Output = io::Result<Ready>>) -> Peer {
    tokio::select! {
        biased;
        ready = ready => match ready {
            Ok(ready) if ready.is_write_closed() || ready.is_error() => Peer::Gone,
            Ok(ready) if ready.is_read_closed() => Peer::Silent,
            Ok(_) => Peer::There,
            Err(_) => Peer::Gone,
        },
        () = std::future::ready(()) => Peer::There,
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_read(cx, buffer), Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, poll_write(cx, bytes), Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_flush(cx), Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, poll_shutdown(cx), Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_waits_has_no_room() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Stream::Plain(listener.accept().await.unwrap().0);
        let mut input = Vec::new();
        tokio::io::AsyncWriteExt::write_all(&mut client, b"hello").await.unwrap();
        assert_eq!(stream.read_some(&mut input, 16 * 1024).await.unwrap(), 5);
        // As far as is known there may be more: that is found out by a read.
        input = Vec::new();
        let waited = tokio::time::timeout(Duration::from_millis(50), stream.read_some(&mut input, 16 * 1024)).await;
        assert!(waited.is_err());
        assert_eq!(input.capacity(), 0);
    }
}
