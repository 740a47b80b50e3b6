// Package s3 is a connector for S3 and what speaks its protocol, written in Go
// on minio-go: it shows how a storage client becomes a [kv.Connector] without a
// shared library, through package goconnector.
//
// A value is one object, byte for byte. Its name is the key's text as LMCache 0.5.6
// writes it, in its L2 adapter ([LayoutL2]) or its remote connector
// ([LayoutRemote]). The latter maps "/" to "_", so two keys may share a name there;
// each object therefore carries its key in its metadata, and an object whose
// key is another one is a miss. Objects without that metadata, such as LMCache's
// own, are taken by their name.
package s3
