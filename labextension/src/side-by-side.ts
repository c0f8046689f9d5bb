/** Two YAML files beside each other, with what is the same folded away. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import { jupyterTheme } from '@jupyterlab/codemirror';
import { TranslationBundle } from '@jupyterlab/translation';
import { MergeView } from '@codemirror/merge';
import { EditorState } from '@codemirror/state';
import { EditorView, lineNumbers } from '@codemirror/view';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { panelIcon } from './icons';

export interface Side {
  title: string;
  text: string;
}

export function sideBySide(old: Side, now: Side, trans: TranslationBundle): MainAreaWidget<Widget> {
  const widget = new MainAreaWidget({ content: new SideBySide(old, now) });
  widget.id = `envpanel-${old.title}-${now.title}`.replace(/\s+/g, '-');
  widget.title.label = trans.__('%1 → %2', old.title, now.title);
  widget.title.icon = panelIcon;
  widget.title.closable = true;
  return widget;
}

class SideBySide extends Widget {
  private _view: MergeView | null = null;

  constructor(
    private readonly _old: Side,
    private readonly _now: Side
  ) {
    super();
    this.addClass('jp-envpanel-sides');
    const heads = document.createElement('div');
    heads.className = 'jp-envpanel-sides-heads';
    for (const side of [_old, _now]) {
      const head = document.createElement('bdi');
      head.textContent = side.title;
      heads.append(head);
    }
    this.node.append(heads);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this._view) {
      return;
    }
    const side = ({ title, text }: Side) => ({
      doc: text,
      extensions: [
        lineNumbers(),
        jupyterTheme,
        EditorState.readOnly.of(true),
        EditorView.editable.of(false),
        EditorView.contentAttributes.of({ 'aria-label': title, tabindex: '0' })
      ]
    });
    this._view = new MergeView({
      a: side(this._old),
      b: side(this._now),
      parent: this.node,
      collapseUnchanged: { margin: 3, minSize: 6 },
      gutter: true
    });
  }

  override dispose(): void {
    this._view?.destroy();
    super.dispose();
  }
}
