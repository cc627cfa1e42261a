package chart

import (
	"bytes"
	"fmt"
	"html/template"
)

// Section is a figure of a page, with a text before it.
type Section struct {
	Title  string
	Text   string
	Figure Figure
	Rows   [][]string // of a table behind it, the first of them its heading
}

// page is a document without anything from elsewhere, so that it can be kept and sent as one file.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{.Title}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; background: #fff; color: #222 }
svg { max-width: 100%; height: auto; display: block }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #8884 }
th:first-child, td:first-child { text-align: left }
.scroll { overflow-x: auto }
.dark { display: none }
@media (prefers-color-scheme: dark) {
	body { background: #16191d; color: #e6e6e6 }
	.light { display: none } .dark { display: block }
}
</style>
<h1>{{.Title}}</h1>
{{range .Sections}}{{if .Title}}<h2>{{.Title}}</h2>
{{end}}{{if .Text}}<p>{{.Text}}</p>
{{end}}<div class="light">{{.Light}}</div>
<div class="dark">{{.Dark}}</div>
{{if .Rows}}<div class="scroll"><table>
{{range $i, $row := .Rows}}<tr>{{range $row}}{{if $i}}<td>{{.}}</td>{{else}}<th>{{.}}</th>{{end}}{{end}}</tr>
{{end}}</table></div>
{{end}}{{end}}</html>
`))

// Page returns a page of HTML with figures in the colours that the browser prefers.
func Page(title string, sections []Section) ([]byte, error) {
	type drawn struct {
		Section
		Light, Dark template.HTML
	}
	data := struct {
		Title    string
		Sections []drawn
	}{Title: title}
	for _, s := range sections {
		light, err := inline(s.Figure, Light())
		if err != nil {
			return nil, err
		}
		dark, err := inline(s.Figure, Dark())
		if err != nil {
			return nil, err
		}
		data.Sections = append(data.Sections, drawn{s, light, dark})
	}
	var out bytes.Buffer
	if err := page.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	return out.Bytes(), nil
}

// inline returns the element of a figure's SVG, without what stands before it in a document.
func inline(f Figure, t Theme) (template.HTML, error) {
	svg, err := f.SVG(t)
	if err != nil {
		return "", err
	}
	return template.HTML(svg[max(bytes.Index(svg, []byte("<svg")), 0):]), nil // our own marks; texts in it are escaped
}
