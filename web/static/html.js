// Markup: htm's tagged templates make preact's elements. Values are always
// text, never markup, so a record can't become part of the page.
import htm from 'htm';
import {h} from 'preact';

export const html = htm.bind(h);
