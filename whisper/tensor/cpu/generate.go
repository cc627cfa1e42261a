package cpu

//go:generate go -C _asm run . -dir ..
