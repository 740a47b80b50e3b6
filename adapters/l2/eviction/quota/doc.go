// Package quota holds how many bytes each cache salt may occupy.
//
// Quotas are soft: a store is never refused because of one. Eviction brings a
// salt back to its limit, and removes what salts without a limit have.
package quota
