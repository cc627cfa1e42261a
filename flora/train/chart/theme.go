package chart

import "image/color"

// Theme is the colours of a figure.
type Theme struct {
	Background, Text, Muted, Grid color.Color
	Palette                       []color.Color // told apart by the colour blind too
}

// Light is for paper and light pages, after Okabe & Ito 2008.
func Light() Theme {
	return Theme{
		Background: gray(0xff), Text: gray(0x22), Muted: gray(0x66), Grid: gray(0xe3),
		Palette: []color.Color{
			rgb(0x0072b2), rgb(0xd55e00), rgb(0x009e73), rgb(0xb5569a), rgb(0xc58a00), rgb(0x3a9ad9), rgb(0x555555),
		},
	}
}

// Dark is for dark pages: the colours of Light in the same order, lighter.
func Dark() Theme {
	return Theme{
		Background: rgb(0x16191d), Text: gray(0xe6), Muted: gray(0xa0), Grid: rgb(0x32373d),
		Palette: []color.Color{
			rgb(0x4da3ff), rgb(0xff8c4a), rgb(0x35d0a2), rgb(0xe295cb), rgb(0xf0c04a), rgb(0x8fd0ff), rgb(0xbbbbbb),
		},
	}
}

func gray(v uint8) color.Color { return color.NRGBA{v, v, v, 0xff} }

func rgb(v uint32) color.Color {
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 0xff}
}

// color returns a colour of the palette.
func (t Theme) color(i int) color.Color { return t.Palette[i%len(t.Palette)] }

// pale returns c with a fraction of its opacity.
func pale(c color.Color, opacity float64) color.Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = uint8(float64(n.A) * opacity)
	return n
}
