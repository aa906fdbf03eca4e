//! The frames on a stream, without I/O.
//!
//! A frame is a header of 9 bytes, little endian (payload length `u32`, kind `u8`, request id `u32`), and the payload.

use bytes::{Buf as _, Bytes, BytesMut};

/// Length of a frame's header in bytes.
pub(crate) const HEADER: usize = 9;
/// A payload above this is handed on as it is; a smaller one is copied next to its header.
const COPY_MAX: usize = 4096;
/// Most bytes reserved on a peer's word alone; a longer frame grows with what really arrives.
const RESERVE_MAX: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// First on a stream; the id is the channel.
    Open = 0,
    /// One way.
    Message = 1,
    /// To be answered under its id.
    Request = 2,
    /// The answer to the request of that id.
    Answer = 3,
    /// There will be no answer to the request of that id.
    NoAnswer = 4,
    /// Last among answers: what has been taken up is answered, and nothing else will be taken up.
    End = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Open, Self::Message, Self::Request, Self::Answer, Self::NoAnswer, Self::End]
            .get(usize::from(byte))
            .copied()
    }
}

/// One frame as received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    pub(crate) payload: Bytes,
}

/// Why a stream cannot be decoded further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
}

/// Frames joined for one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    chunks: Vec<Bytes>,
    tail: Vec<u8>,
    bytes: usize,
    frames: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, kind: Kind, id: u32, payload: Bytes) {
        let length =
            u32::try_from(payload.len()).expect("invariant: payloads are within max_frame, which fits u32");
        self.tail.extend_from_slice(&length.to_le_bytes());
        self.tail.push(kind as u8);
        self.tail.extend_from_slice(&id.to_le_bytes());
        self.bytes += HEADER + payload.len();
        self.frames += 1;
        if payload.len() <= COPY_MAX {
            self.tail.extend_from_slice(&payload);
        } else {
            self.flush_tail();
            self.chunks.push(payload);
        }
    }

    /// Bytes on the wire.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The bytes in order, in few pieces.
    pub(crate) fn into_chunks(mut self) -> Vec<Bytes> {
        self.flush_tail();
        self.chunks
    }

    fn flush_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).into());
        }
    }
}

/// Cuts what a stream delivers into frames. A frame that lies within one chunk is not copied.
#[derive(Debug)]
pub(crate) struct Decoder {
    chunk: Bytes,
    partial: BytesMut,
    max_frame: usize,
}

impl Decoder {
    pub(crate) fn new(max_frame: usize) -> Self {
        Self { chunk: Bytes::new(), partial: BytesMut::new(), max_frame }
    }

    /// Takes the next chunk of the stream; to be called when [`next`](Self::next) has returned `None`.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the previous chunk is used up before the next is given");
        self.chunk = chunk;
    }

    /// The next complete frame, `None` when more input is needed. After an error the stream is beyond repair.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty()
            && let Some((kind, id, length)) = self.header(&self.chunk)?
            && self.chunk.len() - HEADER >= length
        {
            self.chunk.advance(HEADER);
            return Ok(Some(Frame { kind, id, payload: self.chunk.split_to(length) }));
        }
        self.assemble()
    }

    /// Collects a frame that spans chunks.
    fn assemble(&mut self) -> Result<Option<Frame>, FrameError> {
        if !self.fill(HEADER) {
            return Ok(None);
        }
        let Some((kind, id, length)) = self.header(&self.partial)? else { return Ok(None) };
        if !self.fill(HEADER + length) {
            return Ok(None);
        }
        self.partial.advance(HEADER);
        Ok(Some(Frame { kind, id, payload: std::mem::take(&mut self.partial).freeze() }))
    }

    /// Moves input until `partial` has `wanted` bytes; false when there is not enough.
    fn fill(&mut self, wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.partial.len());
        self.partial.reserve(missing.min(RESERVE_MAX));
        let piece = self.chunk.split_to(missing.min(self.chunk.len()));
        self.partial.extend_from_slice(&piece);
        self.partial.len() >= wanted
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<(Kind, u32, usize)>, FrameError> {
        let Some(mut header) = bytes.get(..HEADER) else { return Ok(None) };
        let (length, kind, id) = (header.get_u32_le() as usize, header.get_u8(), header.get_u32_le());
        if length > self.max_frame {
            return Err(FrameError::TooLarge(length));
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        Ok(Some((kind, id, length)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(decoder: &mut Decoder, chunk: &[u8]) -> Result<Vec<Frame>, FrameError> {
        decoder.push(Bytes::copy_from_slice(chunk));
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn frame() -> impl Strategy<Value = (Kind, u32, Vec<u8>)> {
        let payload = prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..64),
            1 => prop::collection::vec(any::<u8>(), COPY_MAX - 1..COPY_MAX + 2),
        ];
        ((0_u8..6).prop_map(|byte| Kind::from_byte(byte).unwrap()), any::<u32>(), payload)
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec(frame(), 0..20),
            cuts in prop::collection::vec(1_usize..2000, 1..50),
        ) {
            let mut batch = Batch::default();
            for (kind, id, payload) in &frames {
                batch.push(*kind, *id, payload.clone().into());
            }
            let total = batch.bytes();
            prop_assert_eq!(batch.frames(), frames.len());
            let wire = batch.into_chunks().concat();
            prop_assert_eq!(wire.len(), total);

            let mut decoder = Decoder::new(COPY_MAX + 1);
            let (mut decoded, mut rest, mut cuts) = (Vec::new(), wire.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                decoded.extend(decode(&mut decoder, chunk).unwrap());
                rest = after;
            }
            let decoded: Vec<_> = decoded.into_iter().map(|f| (f.kind, f.id, f.payload.to_vec())).collect();
            prop_assert_eq!(decoded, frames);
        }

        #[test]
        fn garbage_never_panics(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut decoder = Decoder::new(64);
            for chunk in chunks {
                if decode(&mut decoder, &chunk).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_the_payload_arrives() {
        let mut decoder = Decoder::new(100);
        assert_eq!(decode(&mut decoder, &[101, 0, 0, 0, 1, 0, 0, 0, 0]), Err(FrameError::TooLarge(101)));
        let mut decoder = Decoder::new(100);
        assert_eq!(decode(&mut decoder, &[255, 255, 255]), Ok(vec![]));
        assert_eq!(decode(&mut decoder, &[255, 1, 0, 0, 0, 0]), Err(FrameError::TooLarge(u32::MAX as usize)));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        assert_eq!(
            decode(&mut Decoder::new(1), &[0, 0, 0, 0, 9, 0, 0, 0, 0]),
            Err(FrameError::UnknownKind(9))
        );
    }

    #[test]
    fn a_frame_within_a_chunk_is_not_copied() {
        let mut batch = Batch::default();
        batch.push(Kind::Message, 0, Bytes::from_static(b"payload"));
        let wire = Bytes::from(batch.into_chunks().concat());
        let mut decoder = Decoder::new(100);
        decoder.push(wire.clone());
        assert_eq!(decoder.next().unwrap().unwrap().payload.as_ptr(), wire[HEADER..].as_ptr());
    }
}
