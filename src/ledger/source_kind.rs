//! The one kind of a stream's source.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::named;

named! {
    /// What a stream comes from.
    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    SourceKind {
        /// Sound that is made up.
        Synthetic = "synthetic",
        /// A file that is read here.
        File = "file",
        /// An RTP sender.
        Rtp = "rtp",
        /// A call over AudioSocket.
        AudioSocket = "audiosocket",
        /// A TCP connection of samples.
        Tcp = "tcp",
        /// The same over a Unix socket.
        Unix = "unix",
        /// A WebSocket, with any protocol of media.
        WebSocket = "websocket",
        /// The body of an HTTP request.
        Http = "http",
        /// A program that the library is part of.
        Library = "library",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_source_has_its_name_in_json() {
        for kind in SourceKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.name());
            assert_eq!(serde_json::from_value::<SourceKind>(json).unwrap(), kind);
        }
    }
}
