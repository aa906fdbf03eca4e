//! What a connection writes, and when it waits for its client to take it.

use std::io::{self, ErrorKind};

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{OWN_BYTES, WRITE_BYTES};
use crate::budget::Share;
use crate::resp::batch::Batch;
use crate::resp::client::Client;

/// Writes what the client takes now.
pub(super) fn write(stream: &TcpStream, client: &mut Client) -> io::Result<()> {
    while !client.out.waiting().is_empty() {
        match stream.try_write(client.out.waiting()) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                client.door.metrics.traffic.sent(bytes);
                client.out.advance(bytes);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes what the client takes now if replies to earlier reads are among it: something is to be waited for.
pub(super) fn release(stream: &TcpStream, client: &mut Client, kept: &mut bool) -> io::Result<()> {
    if std::mem::take(kept) { write(stream, client) } else { Ok(()) }
}

/// Has all collected commands answered, and writes meanwhile.
pub(super) async fn settle(
    stream: &TcpStream,
    client: &mut Client,
    batch: &mut Batch<'_>,
    share: &mut Share,
    kept: &mut bool,
) -> io::Result<()> {
    if *kept && !batch.is_empty() {
        batch.part(&mut client.out);
        release(stream, client, kept)?;
    }
    while client.settle_some(batch).await {
        if !share.cover(client.answer_bytes().saturating_sub(OWN_BYTES)) {
            client.ask_one_by_one();
        }
        if client.out.waiting().len() > WRITE_BYTES {
            make_way(stream, client, share).await?;
        }
    }
    Ok(())
}

/// Writes, and waits for the client while half of what may wait for it does. What waits is taken from the shared memory.
pub(super) async fn make_way(stream: &TcpStream, client: &mut Client, share: &mut Share) -> io::Result<()> {
    write(stream, client)?;
    if !share.cover(client.out.held_bytes().saturating_sub(OWN_BYTES)) {
        return Err(io::Error::other("no memory is left for replies"));
    }
    let half = client.door.limits.reply_bytes / 2;
    drain(stream, client, half).await
}

/// Writes until no more than so many bytes wait. A client that is killed meanwhile takes what it takes at once.
pub(super) async fn drain(stream: &TcpStream, client: &mut Client, most: usize) -> io::Result<()> {
    write(stream, client)?;
    if client.out.waiting().len() <= most {
        return Ok(());
    }
    let killed = client.session.killed();
    while client.out.waiting().len() > most {
        let closing = client.door.closing.is_cancelled();
        tokio::select! {
            biased;
            () = killed.cancelled(), if !closing => {}
            writable = timeout(client.door.limits.write_timeout, stream.writable()) => writable??,
        }
        write(stream, client)?;
        if client.is_killed() && client.out.waiting().len() > most {
            return Err(super::killed());
        }
    }
    Ok(())
}
