#include "desk/visit.h"

/* Colours are pairs of at least 4.5 to 1 on their ground, in both schemes. */
static const char style[] =
	":root{color-scheme:light dark;--ground:#f2f4f7;--card:#fff;--ink:#1b2430;--soft:#566273;--line:#d9dee5;--action:#1d5fa8;"
	"--press:#164a84;--on:#fff;--mood:#1d5fa8;--tint:#e8f0f9;--cut:#fff}\n"
	"@media(prefers-color-scheme:dark){:root{--ground:#12161c;--card:#1b212a;--ink:#e8ecf1;--soft:#a3afbe;--line:#323c49;"
	"--action:#7db4f0;--press:#a5ccf7;--on:#0e1620;--mood:#7db4f0;--tint:#1d2c3e;--cut:#1b212a}}\n"
	".green{--mood:#187a3e;--tint:#e5f4ea}\n.red{--mood:#b3261e;--tint:#fbeae9}\n"
	"@media(prefers-color-scheme:dark){.green{--mood:#6ed193;--tint:#17301f}.red{--mood:#ff9088;--tint:#3a1d1c}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;background:var(--ground);color:var(--ink);"
	"font:1.0625rem/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"DejaVu Sans\",sans-serif;padding:5vh 1rem 1rem;"
	"-webkit-text-size-adjust:100%}\n"
	"main{width:100%;max-width:38rem;background:var(--card);border:1px solid var(--line);border-radius:12px;"
	"padding:2.4rem 2.25rem 2.25rem;position:relative;overflow:hidden}\n"
	"main::before{content:\"\";position:absolute;inset:0 0 auto;height:6px;background:var(--mood)}\n"
	".sign{display:flex;align-items:center;gap:1rem;margin:0 0 1rem;color:var(--mood);font-weight:700;font-size:1.25rem}\n"
	".sign svg{width:4.5rem;height:4.5rem;flex:none;fill:currentColor}\n"
	".sign .cut{fill:none;stroke:var(--cut);stroke-width:5.5;stroke-linecap:round;stroke-linejoin:round}\n"
	"h1{font-size:1.75rem;line-height:1.2;margin:0 0 1rem;letter-spacing:-.01em;text-wrap:balance}\n"
	"h2{font-size:1rem;margin:1.75rem 0 .35rem}\n"
	"p{margin:0 0 .9rem}\n.lead{font-size:1.125rem}\n.small{color:var(--soft);font-size:.9375rem}\np:last-child{margin-bottom:0}\n"
	"dl{margin:1.25rem 0;padding:.35rem 1.1rem;background:var(--tint);border-radius:8px}\n"
	"dl div{padding:.65rem 0;border-bottom:1px solid var(--line)}\ndl div:last-child{border-bottom:0}\n"
	"dt{color:var(--soft);font-size:.875rem}\ndd{margin:0;font-weight:600;overflow-wrap:anywhere}\n"
	"code{font:.9em/1.4 ui-monospace,\"DejaVu Sans Mono\",monospace;background:var(--ground);padding:.1em .35em;border-radius:4px;"
	"overflow-wrap:anywhere;-webkit-box-decoration-break:clone;box-decoration-break:clone}\n"
	"blockquote{margin:0 0 .9rem;padding:.6rem 1rem;border-left:4px solid var(--line);color:var(--soft);font-size:.9375rem;"
	"overflow-wrap:anywhere;white-space:pre-line}\n"
	"form{margin:1.5rem 0}\n"
	"button{font:inherit;font-size:1.125rem;font-weight:650;color:var(--on);background:var(--action);border:2px solid transparent;"
	"border-radius:8px;padding:.8rem 1.75rem;cursor:pointer}\n"
	"button:hover{background:var(--press)}\n"
	":focus-visible{outline:3px solid var(--mood);outline-offset:3px}\n"
	"footer{color:var(--soft);font-size:.875rem;margin-top:1.25rem}\nfooter p{margin:0}\n"
	"@media(max-width:30rem){body{padding:1rem .75rem;font-size:1rem}main{padding:1.6rem 1.2rem 1.6rem}h1{font-size:1.5rem}dl{padding:.25rem .9rem}dd{font-size:.9375rem}"
	".sign svg{width:3.75rem;height:3.75rem}button{width:100%;padding:.8rem 1rem}}\n"
	"@media(forced-colors:active){main::before{background:CanvasText}.sign .cut{stroke:Canvas}}\n"
	"@media print{body{background:#fff;padding:0}main{border:0}form{display:none}}\n";

void visit_style(struct visit *v)
{
	visit_answer(v, 200, SPAN("text/css; charset=utf-8"), span_of(style));
}
