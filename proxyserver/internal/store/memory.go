package store

type place struct{}
