//! A command as it was sent: its name and arguments, borrowed from the connection's buffer.

/// A command's name and arguments. There is always a name.
#[derive(Debug)]
pub(super) struct Request<'a> {
    parts: Vec<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A request of these parts, of which there is at least one.
    pub(super) fn new(parts: Vec<&'a [u8]>) -> Request<'a> {
        assert!(!parts.is_empty(), "a request has a name");
        Request { parts }
    }

    /// The command's name, in whatever case it was sent.
    pub(super) fn name(&self) -> &'a [u8] {
        self.parts[0]
    }

    /// The arguments, without the name.
    pub(super) fn args(&self) -> &[&'a [u8]] {
        &self.parts[1..]
    }

    /// The name and the arguments.
    pub(super) fn words(&self) -> &[&'a [u8]] {
        &self.parts
    }

    /// How many parts there are, the name included.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The parts, for the next request.
    pub(super) fn into_parts(self) -> Vec<&'a [u8]> {
        self.parts
    }
}
