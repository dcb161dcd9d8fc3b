/** A certificate that signs itself, for `localhost` and 127.0.0.1, and its key: for the scripted brokers of these tests alone. */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBZzCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEDhzMnVYcXM87sX
yXYgdlhw6kgPjoYWLmYgE3UGNPF5Fw6COBiDTFuYgmmPW3uYHuwbIM/GlfMCxswq
tgt2o26jTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MB0GA1UdDgQWBBQsavkvaztl0Pw8nWEbdv2+BrR9+jAKBggqhkjOPQQD
AgNIADBFAiEAh03a6UVeSV5jOlvmgPDDxlZmpY2W+oao78xX49fo4dQCIA0Xosxh
JUa1nDuApG7K6ni8Ap66WlcI7C+w6KccwlOv
-----END CERTIFICATE-----
`

/** The key of {@link certificate}. */
export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkdlY2gvAtBNZX/AV
oCtvyLDMkCAO/oAl+z6xR6fDLG6hRANCAARA4czJ1WHFzPO7F8l2IHZYcOpID46G
Fi5mIBN1BjTxeRcOgjgYg0xbmIJpj1t7mB7sGyDPxpXzAsbMKrYLdqNu
-----END PRIVATE KEY-----
`
