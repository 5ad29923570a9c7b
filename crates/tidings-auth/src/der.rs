//! Encodes the few ASN.1 structures that public keys need.

/// Writes an RSA key as a SubjectPublicKeyInfo in DER; RFC 3279, 2.3.1; RFC 8017, A.1.1.
pub(crate) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    rsa_spki_of(&der(
        0x30,
        &[der_number(modulus), der_number(exponent)].concat(),
    ))
}

/// Wraps an `RSAPublicKey` (PKCS #1) in a SubjectPublicKeyInfo; RFC 8017, A.1.1.
pub(crate) fn rsa_spki_of(key: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &[RSA_ENCRYPTION, &[0x05, 0x00]].concat());
    der(
        0x30,
        &[algorithm, der(0x03, &[&[0], key].concat())].concat(),
    )
}

fn der_number(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    // A leading zero, because a number whose first bit is set would be negative.
    let sign: &[u8] = match bytes.first() {
        Some(first) if *first < 0x80 => &[],
        Some(_) | None => &[0],
    };
    der(0x02, &[sign, bytes].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut encoded = vec![tag];
    match length {
        [] => encoded.push(0),
        [short] if *short < 0x80 => encoded.push(*short),
        long => {
            // At most eight bytes, so the count fits.
            encoded.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            encoded.extend_from_slice(long);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

/// The object identifier of RSA keys, 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];
