#!/usr/bin/perl
# mailimapclient.pl: Mail::IMAPClient against a server. Port, user, password, certificate and a directory with one message a file come from the environment.
# Each line of output is a name, a tab, and what was found.
use strict;
use warnings;
use Mail::IMAPClient;

my %asked = map { $_ => $ENV{$_} } qw(PORT TLS_PORT SESSION_USER PASSWORD TRUST CORPUS_DIR);
my %trust = (SSL_ca_file => $asked{TRUST}, SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'imap');

sub client {
    my %more = @_;
    my $imap = Mail::IMAPClient->new(
        Server => 'localhost', User => $asked{SESSION_USER}, Password => $asked{PASSWORD}, Uid => 1, Peek => 1, Timeout => 240, Keepalive => 1, %more)
        or die "no connection: $@";
    return $imap;
}

sub say_it { my ($what, @found) = @_; print $what, "\t", join(',', @found), "\n"; }

# The last error ends the session: no command of it may be refused.
sub done { my ($imap, $what, $result) = @_; defined $result or die "$what: " . ($imap->LastError // '?'); return $result; }

my $tls = client(Port => $asked{TLS_PORT}, Ssl => [%trust]);
say_it('tls', $tls->IsAuthenticated ? 'yes' : 'no');
$tls->logout;

my $imap = client(Port => $asked{PORT}, Starttls => [%trust], Compress => 1);
say_it('capabilities', map { $imap->has_capability($_) ? 'yes' : 'no' } qw(IDLE UIDPLUS MOVE SORT));
done($imap, 'create', $imap->create($_)) for ('Work', 'Work/Deep', 'Old');
done($imap, 'rename', $imap->rename('Old', 'New'));
done($imap, 'delete', $imap->delete('Work/Deep'));
say_it('folders', sort $imap->folders);
say_it('exists', $imap->exists('New') ? 'yes' : 'no', $imap->exists('Old') ? 'yes' : 'no');

my $text = sub { my ($n, $body) = @_; return "From: s$n\@example.org\r\nSubject: message $n\r\nMessage-ID: <$n\@example.org>\r\n\r\n$body\r\n" };
my @uids = map { done($imap, 'append', $imap->append_string('INBOX', $text->($_, "hello $_"), $_ < 3 ? '\\Seen' : undef, '08-Nov-2004 10:00:00 +0100')) } 1 .. 6;
say_it('uids', @uids);
done($imap, 'select', $imap->select('INBOX'));
say_it('count', $imap->message_count);
say_it('unseen', $imap->unseen);
say_it('seen', $imap->seen);
say_it('search', @{ done($imap, 'search', scalar $imap->search('SUBJECT', \'message 4')) });
say_it('or', @{ done($imap, 'search', scalar $imap->search('OR SUBJECT "message 1" BODY "hello 5"')) });
say_it('sort', @{ done($imap, 'sort', scalar $imap->sort('REVERSE SUBJECT', 'UTF-8', 'ALL')) });
say_it('subject', $imap->subject(3));
say_it('size', $imap->size(3));
say_it('string', $imap->message_string(3) eq $text->(3, 'hello 3') ? 'same' : 'other');
say_it('body', $imap->body_string(3) =~ s/\s+$//r);
say_it('type', $imap->get_bodystructure(3)->bodytype);
say_it('envelope', $imap->get_envelope(3)->subject);
my $hash = done($imap, 'fetch', scalar $imap->fetch_hash('FLAGS', 'INTERNALDATE'));
say_it('fetched', sort { $a <=> $b } keys %$hash);
done($imap, 'store', $imap->set_flag('Flagged', 3, 4));
done($imap, 'store', $imap->unset_flag('Seen', 1));
say_it('flagged', sort @{ $imap->search('FLAGGED') });
done($imap, 'copy', $imap->copy('Work', 1, 2));
done($imap, 'move', $imap->move('Work', '3'));
done($imap, 'delete', $imap->delete_message(5));
done($imap, 'expunge', $imap->expunge);
say_it('left', @{ $imap->messages });
say_it('status', map { $imap->status('Work', $_) ? $imap->message_count('Work') : '?' } 'MESSAGES');

opendir(my $dir, $asked{CORPUS_DIR}) or die;
my @names = sort grep { !/^\./ } readdir $dir;
my ($same, $sent) = (0, 0);

# Not append_file: that one sends the message without compression where the connection has it.
sub content { open(my $file, '<:raw', "$asked{CORPUS_DIR}/$_[0]") or die; local $/; return scalar <$file>; }

for my $name (@names) {
    $sent += done($imap, 'append', $imap->append_string('New', content($name))) ? 1 : 0;
}
done($imap, 'select', $imap->select('New'));
my @there = @{ $imap->messages };
for my $at (0 .. $#there) {
    $same += $imap->message_string($there[$at]) eq content($names[$at]) ? 1 : 0;
}
say_it('corpus', scalar(@names), $sent, scalar(@there), $same);
$imap->logout;
