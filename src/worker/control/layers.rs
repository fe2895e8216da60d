//! A viewer's page asks for other layers of the picture.

use crate::relay::play::wish::Choice;
use crate::worker::layers::{LayerChoice, LayerRequest, NotChosen};
use crate::worker::mail::Mail;
use crate::worker::mailbox::SessionId;
use crate::worker::outbound::{layers, layers_told};
use crate::worker::peer::Role;
use crate::worker::peers::Peers;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Does what a page asks for. From then on it is told what there is.
pub(super) fn request(
    session: SessionId,
    request: &LayerRequest,
    peers: &mut Peers,
    streams: &mut Streams,
    mail: &mut Mail,
) -> Result<(), NotChosen> {
    let key = peers.find_session(session).ok_or(NotChosen::NoSession)?;
    let peer = peers.get_mut(key).ok_or(NotChosen::NoSession)?;
    let stream = peer.stream;
    let (_, track) = peer.picture().ok_or(NotChosen::NoPicture)?;
    if let Some(choice) = request.choice {
        track.wish.choice = match choice {
            LayerChoice::Auto => Choice::Auto,
            LayerChoice::SoundOnly => Choice::SoundOnly,
            LayerChoice::HeightMax(height) => Choice::HeightMax(height),
            LayerChoice::Rid(wanted) => {
                let names = streams.get(stream).map(|stream| layers_told::names(stream, track)).unwrap_or_default();
                let found = names.iter().find(|(_, name)| *name == wanted);
                let &(encoding, _) = found.ok_or_else(|| {
                    NotChosen::NoSuchRid(names.iter().map(|(_, name)| name.as_str().to_owned()).collect())
                })?;
                Choice::Encoding(encoding)
            }
        };
    }
    if let Some(height) = request.shown_height {
        track.wish.shown_height = height;
    }
    if let Some(highest) = request.highest
        && track.selection.want_layers(highest)
    {
        // More spatial layers begin with a key frame.
        let encoding = track.encoding();
        streams.want_key_frame(EncodingKey { stream, encoding });
    }
    if let Role::Viewer(playback) = &mut peer.role {
        // Told anew to whoever asks: it may be another page than before.
        playback.told = Some(Box::default());
    }
    layers::place(key, request.choice.is_some(), peers, streams, mail);
    Ok(())
}
