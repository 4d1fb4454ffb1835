//go:build !linux

package ping

const socketSeesStrangers = false
