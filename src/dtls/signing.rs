//! The node's private key, parsed once and shared with `dimpl`. Without this, `dimpl` would parse and check the key for
//! every association (a scalar multiplication, and a kilobyte kept) and keep the encoded key with each.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::crypto::{Buf, KeyProvider, SigningKey};
use dimpl::{CryptoError, CryptoOperation, HashAlgorithm, SignatureAlgorithm};
use rcgen::KeyPair;

use super::error::IdentityError;

/// A key provider with a single key. It is leaked and lives as long as the process, because `dimpl` requires a
/// `'static` provider. Each [`super::DtlsIdentity`] therefore costs these few bytes for good; a node makes one.
pub(super) fn provider(key: &KeyPair) -> Result<&'static dyn KeyProvider, IdentityError> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der())
        .map_err(|error| IdentityError::Library(error.to_string()))?;
    Ok(Box::leak(Box::new(OneKey(Arc::new(key)))))
}

struct OneKey(Arc<EcdsaKeyPair>);

impl KeyProvider for OneKey {
    /// Ignores `key_der`: the associations are given none.
    fn load_private_key(&self, _key_der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        Ok(Box::new(Handle(Arc::clone(&self.0))))
    }
}

struct Handle(Arc<EcdsaKeyPair>);

impl SigningKey for Handle {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != self.hash_algorithm() {
            return Err(CryptoError::SigningKeyHashMismatch { key_hash: self.hash_algorithm(), requested: hash });
        }
        let signature =
            self.0.sign(&SystemRandom::new(), data).map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

impl fmt::Debug for OneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneKey(..)")
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(..)")
    }
}
