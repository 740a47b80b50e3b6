// Package eventfd has the two halves of completion signalling: [Event], a
// descriptor that this process signals, and [Poller], which waits on the
// descriptor of somebody else.
package eventfd
