//! RTP header extension elements (RFC 8285): one-byte and two-byte forms, read tolerantly and written minimally.
//!
//! Reads the *block* that an RTP header carries, or writes one with its four-byte head. The meaning of an identifier is
//! agreed in SDP and known only to the layers above. The 4 `appbits` of the two-byte form are ignored and written as
//! zero.

use super::cursor::Writer;

/// `defined by profile` of the one-byte form (RFC 8285 §4.2).
pub const ONE_BYTE_PROFILE: u16 = 0xbede;

/// `defined by profile` of the two-byte form with zero `appbits` (RFC 8285 §4.3).
pub const TWO_BYTE_PROFILE: u16 = 0x1000;

/// Bytes of the block's head: profile and length in words.
const BLOCK_HEAD_BYTES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// The elements of one extension block as `(identifier, value)`, in wire order.
///
/// Ends at the first element that is cut short, and where RFC 8285 §4.2 says so: at identifier 15 of the one-byte
/// form, and at identifier 0 with a length. What came before counts.
#[derive(Clone, Copy, Debug)]
pub struct ExtensionElements<'a> {
    rest: &'a [u8],
    form: Form,
}

impl<'a> ExtensionElements<'a> {
    /// The elements of `block` (without its four-byte head). A profile of neither form has none.
    #[must_use]
    pub const fn new(profile: u16, block: &'a [u8]) -> Self {
        match profile {
            ONE_BYTE_PROFILE => Self { rest: block, form: Form::OneByte },
            // RFC 8285 §4.3: the lower four bits are appbits.
            _ if profile & 0xfff0 == TWO_BYTE_PROFILE => Self { rest: block, form: Form::TwoByte },
            _ => Self::none(),
        }
    }

    /// No elements.
    #[must_use]
    pub const fn none() -> Self {
        Self { rest: &[], form: Form::OneByte }
    }

    fn split(form: Form, bytes: &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
        match (form, bytes) {
            (Form::OneByte, &[head, ref rest @ ..]) => {
                let (id, len) = (head >> 4, usize::from(head & 15).saturating_add(1));
                if matches!(id, 0 | 15) {
                    return None;
                }
                let (value, rest) = rest.split_at_checked(len)?;
                Some((id, value, rest))
            }
            (Form::TwoByte, &[id, len, ref rest @ ..]) => {
                let (value, rest) = rest.split_at_checked(usize::from(len))?;
                Some((id, value, rest))
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for ExtensionElements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let &[0, ref rest @ ..] = self.rest {
            self.rest = rest;
        }
        let Some((id, value, rest)) = Self::split(self.form, self.rest) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some((id, value))
    }
}

/// The smallest form that can carry `elements`; `None` when neither can.
fn form_for(elements: &[(u8, &[u8])]) -> Option<Form> {
    let mut form = Form::OneByte;
    for &(id, value) in elements {
        match (id, value.len()) {
            (1..=14, 1..=16) => {}
            (1..=255, 0..=255) => form = Form::TwoByte,
            _ => return None,
        }
    }
    Some(form)
}

/// Bytes [`write_extensions`] will write for `elements`; `None` where it would refuse them. Zero without elements.
#[must_use]
pub fn block_len(elements: &[(u8, &[u8])]) -> Option<usize> {
    if elements.is_empty() {
        return Some(0);
    }
    let head = match form_for(elements)? {
        Form::OneByte => 1_usize,
        Form::TwoByte => 2,
    };
    let body = elements.iter().fold(0_usize, |sum, (_, value)| sum.saturating_add(head).saturating_add(value.len()));
    body.checked_next_multiple_of(4)?.checked_add(BLOCK_HEAD_BYTES)
}

/// Writes a whole extension block, head and padding included: the one-byte form where every identifier is 1–14 and
/// every value 1–16 bytes, else the two-byte form (identifiers 1–255, values up to 255 bytes).
///
/// Nothing is written for no elements. `None` when an element has identifier 0 or is too long, or `out` too short.
#[must_use]
pub fn write_extensions(out: &mut [u8], elements: &[(u8, &[u8])]) -> Option<usize> {
    if elements.is_empty() {
        return Some(0);
    }
    let form = form_for(elements)?;
    let mut writer = Writer::new(out);
    writer.u16(match form {
        Form::OneByte => ONE_BYTE_PROFILE,
        Form::TwoByte => TWO_BYTE_PROFILE,
    })?;
    writer.u16(0)?;
    for &(id, value) in elements {
        let len = u8::try_from(value.len()).ok()?;
        match form {
            Form::OneByte => writer.u8(id << 4 | len.checked_sub(1)?)?,
            Form::TwoByte => writer.bytes(&[id, len])?,
        }
        writer.bytes(value)?;
    }
    writer.align()?;
    let words = writer.len().checked_sub(BLOCK_HEAD_BYTES)? / 4;
    writer.patch_u16(2, u16::try_from(words).ok()?)?;
    Some(writer.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(profile: u16, block: &[u8]) -> Vec<(u8, Vec<u8>)> {
        ExtensionElements::new(profile, block).map(|(id, value)| (id, value.to_vec())).collect()
    }

    #[test]
    fn one_byte_form_is_read_with_padding_between() {
        // RFC 8285 §4.2, the figure's layout: one byte, padding, two bytes, four bytes.
        let block = [0x10, 0xaa, 0x21, 0xbb, 0xbb, 0x00, 0x00, 0x33, 0xcc, 0xcc, 0xcc, 0xcc];
        assert_eq!(elements(ONE_BYTE_PROFILE, &block), [(1, vec![0xaa]), (2, vec![0xbb; 2]), (3, vec![0xcc; 4])]);
    }

    #[test]
    fn two_byte_form_is_read_with_empty_values_and_any_appbits() {
        // RFC 8285 §4.3.
        let block = [0x01, 0x00, 0x02, 0x01, 0xbb, 0x00, 0x0f, 0x02, 0xcc, 0xcc, 0x00, 0x00];
        let expected = [(1, vec![]), (2, vec![0xbb]), (15, vec![0xcc; 2])];
        assert_eq!(elements(TWO_BYTE_PROFILE, &block), expected);
        assert_eq!(elements(TWO_BYTE_PROFILE | 0xf, &block), expected);
    }

    #[test]
    fn identifier_15_ends_the_one_byte_form() {
        // RFC 8285 §4.2: only elements present before it are considered.
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0xf0, 0x01, 0x20, 0xbb]), [(1, vec![0xaa])]);
    }

    #[test]
    fn identifier_0_with_a_length_ends_the_one_byte_form() {
        // RFC 8285 §4.2.
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0x01, 0x20, 0xbb, 0x00]), [(1, vec![0xaa])]);
    }

    #[test]
    fn an_element_cut_short_ends_the_block() {
        assert_eq!(elements(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0x23, 0xbb]), [(1, vec![0xaa])]);
        assert_eq!(elements(TWO_BYTE_PROFILE, &[0x01, 0x01, 0xaa, 0x02]), [(1, vec![0xaa])]);
        assert_eq!(elements(TWO_BYTE_PROFILE, &[0x02, 0x03, 0xaa, 0x02]), []);
    }

    #[test]
    fn an_unknown_profile_has_no_elements() {
        assert_eq!(elements(0x1234, &[0x10, 0xaa, 0x00, 0x00]), []);
    }

    #[test]
    fn the_form_follows_from_the_elements() {
        let mut out = [0xff; 64];
        let len = write_extensions(&mut out, &[(4, b"0"), (3, &[1, 2])]).unwrap();
        assert_eq!(out[..len], [0xbe, 0xde, 0, 2, 0x40, b'0', 0x31, 1, 2, 0, 0, 0]);

        let cases: [&[(u8, &[u8])]; 4] = [&[(15, b"a")], &[(1, b"")], &[(1, &[0; 17])], &[(200, b"a"), (1, b"b")]];
        for elements in cases {
            write_extensions(&mut out, elements).unwrap();
            assert_eq!(out[..2], TWO_BYTE_PROFILE.to_be_bytes());
        }
    }

    #[test]
    fn elements_that_cannot_be_carried_are_refused() {
        let mut out = [0; 2048];
        assert_eq!(write_extensions(&mut out, &[(0, b"a")]), None);
        assert_eq!(write_extensions(&mut out, &[(1, &[0; 256])]), None);
        assert_eq!(write_extensions(&mut out[..11], &[(4, b"0"), (3, &[1, 2])]), None);
        assert_eq!(write_extensions(&mut out, &[]), Some(0));
    }

    proptest! {
        #[test]
        fn any_block_is_read_without_panic(profile: u16, block in prop::collection::vec(any::<u8>(), 0..128)) {
            for profile in [profile, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE] {
                prop_assert!(ExtensionElements::new(profile, &block).count() <= block.len());
            }
        }

        #[test]
        fn a_written_block_reads_back(
            owned in prop::collection::vec((1_u8..=20, prop::collection::vec(any::<u8>(), 0..24)), 1..8),
        ) {
            let borrowed: Vec<(u8, &[u8])> = owned.iter().map(|(id, value)| (*id, value.as_slice())).collect();
            let mut out = [0xff; 512];
            let len = write_extensions(&mut out, &borrowed).unwrap();
            prop_assert_eq!(Some(len), block_len(&borrowed));
            let profile = u16::from_be_bytes([out[0], out[1]]);
            prop_assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])) * 4, len - 4);
            prop_assert_eq!(elements(profile, &out[4..len]), owned);
        }
    }
}
