//! The stream of a connection: plain, or under TLS from the beginning or from STARTTLS on, and over either DEFLATE from COMPRESS on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
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
