# Runs PHP-FPM behind a web server: Apache or nginx, by the name that this is called by.
# Options, variables and names in configuration files: Heroku's heroku-php-apache2 and heroku-php-nginx.
shopt -s nullglob extglob
me=${0##*/}
server=${me#heroku-php-}
# Debian keeps servers where only root looks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# The servers open their logs by these names, which fails for a pipe of another user.
(: >>/proc/$$/fd/1) 2>/dev/null || exec > >(trap '' TERM INT; exec cat)
(: >>/proc/$$/fd/2) 2>/dev/null || exec 2> >(trap '' TERM INT; exec cat >&2)

say() { printf '%s\n' "$*" >&2; }
fail() { say "$1"; exit "${2:-1}"; }
usage() {
  cat <<HELP
Usage:
  $me [options] [<DOCUMENT_ROOT>]

Options:
  -C <file>   configuration to include in the server section of the web server
  -c <file>   configuration in place of the whole server section
  -F <file>   configuration to include at the end of the pool [www] of PHP-FPM
  -f <file>   configuration in place of that of PHP-FPM
  -i <file>   the php.ini to use
  -l <file>   another log file to show, which is made if it is not there; may be repeated
  -p <port>   the port to listen on, in place of \$PORT
  -t          test the configuration
  -v          say more
  -h          this text

Files are relative to $PWD. One that ends in .php is run by PHP first.
HELP
}

# A file of the app's for an option, run by PHP first if its name says so.
readable() {
  [ -f "$HEROKU_APP_DIR/$2" ] || fail "Cannot read -$1 '$2' (relative to '$HEROKU_APP_DIR')"
  case $2 in
    *.php) php "$HEROKU_APP_DIR/$2" >"$run/$1.made" || fail "-$1 '$2' failed"; found=$run/$1.made ;;
    *) found=$HEROKU_APP_DIR/$2 ;;
  esac
}

export HEROKU_APP_DIR=$PWD DOCUMENT_ROOT=$PWD
export PORT=${PORT:-$((RANDOM + 1024))}
export COMPOSER_VENDOR_DIR=$vendor_dir COMPOSER_BIN_DIR=$bin_dir
run=$(mktemp -d /tmp/heroku.php.XXXXXX) || exit 1
# Apache's and nginx's children may have another user in a container of another kind.
chmod 755 "$run"
trap 'rm -rf "$run"' EXIT

declare -A given
logs=()
testing= verbose=
while getopts ":C:c:F:f:i:l:p:tvh-:" option; do
  case $option in
    C | c | F | f | i) given[$option]=$OPTARG ;;
    l)
      matched=($OPTARG)
      [ ${#matched[@]} -gt 0 ] || fail "Pattern '$OPTARG' passed to option -l matched no files"
      for file in "${matched[@]}"; do
        mkdir -p "$(dirname "$file")" && touch "$file" || fail "Could not touch '$file'; permissions problem?"
        logs+=("$file")
      done
      ;;
    p) PORT=$OPTARG ;;
    t) testing=1 ;;
    v) verbose=1 ;;
    h) usage; exit 0 ;;
    -)
      case $OPTARG in
        test) testing=1 ;;
        verbose) verbose=1 ;;
        help) usage; exit 0 ;;
        *) fail "Invalid option: --$OPTARG" 2 ;;
      esac
      ;;
    :) fail "Option -$OPTARG requires an argument" 2 ;;
    *) fail "Invalid option: -$OPTARG" 2 ;;
  esac
done
shift $((OPTIND - 1))
[[ $PORT =~ ^[0-9]{1,5}$ ]] || fail "The port '$PORT' is no number" 2
if [ $# -gt 1 ]; then
  say "$me: too many arguments. If you're using options,"
  fail "make sure to list them before any document root argument you're providing." 2
fi
if [ $# -eq 1 ]; then
  [ -d "$HEROKU_APP_DIR/$1" ] || fail "DOCUMENT_ROOT '$1' does not exist"
  root=${1%%*(/)}
  DOCUMENT_ROOT=$HEROKU_APP_DIR/$root
  say "DOCUMENT_ROOT changed to '$root/'"
fi

version=$(php -n -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;') || fail "This program requires PHP; check your 'php' command."
fpm=$(command -v "php-fpm$version" || command -v php-fpm) ||
  fail "There is no php-fpm: the operator of this server installs it with  apt-get install php$version-fpm"
case $server in
  apache2) program=$(command -v apache2 || command -v httpd) ;;
  *) program=$(command -v nginx) ;;
esac
[ -n "$program" ] || fail "There is no $server: the operator of this server installs it with  apt-get install $server"

# The folder of PHP-FPM's own settings may be the host's alone: extensions are then those of the command line.
if [ -z "${PHP_INI_SCAN_DIR+set}" ] && [ ! -d "/etc/php/$version/fpm/conf.d" ] && [ -d "/etc/php/$version/cli/conf.d" ]; then
  export PHP_INI_SCAN_DIR="/etc/php/$version/cli/conf.d"
fi
ini=$HEROKU_APP_DIR/.heroku/php/etc/php.ini
[ -z "${given[i]:-}" ] || { readable i "${given[i]}"; ini=$found; say "Using PHP configuration (php.ini) file '${given[i]}'"; }
[ -z "${given[F]:-}" ] || { readable F "${given[F]}"; fpm_include=$found; say "Using PHP-FPM configuration include '${given[F]}'"; }
export HEROKU_PHP_FPM_CONFIG_INCLUDE=${fpm_include:-$run/nothing.conf}
: >"$run/nothing.conf"

# How many workers fit: as many as memory_limit allows, and no more than the processors are good for.
workers() {
  local memory=536870912 limit
  if read -r limit 2>/dev/null </sys/fs/cgroup/memory.max && [[ $limit =~ ^[0-9]{1,15}$ ]]; then memory=$limit; fi
  php -c "$ini" -r '
    [, $ram, $cores, $root, $include] = $argv;
    $bytes = fn($text) => (int)$text << (["k" => 10, "m" => 20, "g" => 30][strtolower(substr($text, -1))] ?? 0);
    $limit = ini_get("memory_limit");
    $of = fn($text, $what) => preg_match("/^\s*$what\s*=\s*[\"\x27]?(-?\d+[kmg]?)/mi", $text, $found) ? $found[1] : null;
    $pool = (string)@file_get_contents($include);
    $limit = $of($pool, "php_value\[memory_limit\]") ?? $limit;
    $limit = $of((string)@file_get_contents("$root/.user.ini"), "memory_limit") ?? $limit;
    $limit = $of($pool, "php_admin_value\[memory_limit\]") ?? $limit;
    fprintf(STDERR, "Available RAM is %dM Bytes\n", $ram >> 20);
    $each = $bytes($limit);
    if ($each < 1) { $each = $ram; fwrite(STDERR, "PHP memory_limit is unlimited\n"); }
    else { fwrite(STDERR, "PHP memory_limit is $limit Bytes\n"); }
    $base = 128 << 20;
    echo max(1, (int)min(floor(ceil(log($ram / $base, 2)) * $cores * 2 * $base / $each), floor($ram / $each)));
  ' -- "$memory" "$(nproc 2>/dev/null || echo 1)" "$DOCUMENT_ROOT" "$HEROKU_PHP_FPM_CONFIG_INCLUDE"
}
if [ -z "${WEB_CONCURRENCY:-}" ] || [ -n "${WEB_CONCURRENCY_SET_BY:-}" ]; then
  [ -z "${WEB_CONCURRENCY:-}" ] || say "NOTICE: ignoring WEB_CONCURRENCY value set by $WEB_CONCURRENCY_SET_BY"
  WEB_CONCURRENCY=$(workers) WEB_CONCURRENCY_SET_BY=heroku/php
  export WEB_CONCURRENCY_SET_BY
else
  say "WEB_CONCURRENCY env var is set, skipping automatic calculation"
fi
if ! [[ $WEB_CONCURRENCY =~ ^[1-9][0-9]{0,3}$ ]]; then
  WEB_CONCURRENCY=1
  say "WARNING: Setting WEB_CONCURRENCY=1 (was outside allowed range)"
fi
export WEB_CONCURRENCY

socket=/tmp/heroku.fcgi.$PORT.sock
rm -f "$socket"
cat >"$run/php-fpm.conf" <<FPM
[global]
error_log = /dev/stderr
log_level = warning
log_limit = 8192
daemonize = no
process_control_timeout = 25s

[www]
user = nobody
listen = $socket
listen.mode = 0666
pm = static
pm.max_children = $WEB_CONCURRENCY
catch_workers_output = yes
decorate_workers_output = no
clear_env = no
request_terminate_timeout = 30s
php_value[error_log] = /dev/stderr
include = $HEROKU_PHP_FPM_CONFIG_INCLUDE
FPM
fpm_config=$run/php-fpm.conf
[ -z "${given[f]:-}" ] || { readable f "${given[f]}"; fpm_config=$found; say "Using PHP-FPM configuration file '${given[f]}'"; }

configure_apache() {
  local modules=/usr/lib/apache2/modules include=$run/default.conf vhost=$run/vhost.conf name as_root=
  [ -d "$modules" ] || modules=$(dirname "$(dirname "$program")")/modules
  echo "DirectoryIndex index.php index.html index.htm" >"$include"
  sed -n 's/^  \([^ ]*\) \(.*\);$/\1 \2/p' "$HEROKU_APP_DIR/.heroku/php/etc/mime.types" >"$run/mime.types"
  [ "$(id -u)" -ne 0 ] || as_root=$'User nobody\nGroup nogroup'
  if [ -n "${given[C]:-}" ]; then
    readable C "${given[C]}"
    include=$found
    say "Using Apache2 VirtualHost-level configuration include '${given[C]}'"
  fi
  if [ -n "${given[c]:-}" ]; then
    readable c "${given[c]}"
    vhost=$found
    say "Using Apache2 configuration file '${given[c]}'"
  fi
  export HEROKU_PHP_HTTPD_CONFIG_INCLUDE=$include
  {
    for name in mpm_event authn_core authn_file authz_core authz_host authz_user authz_groupfile auth_basic access_compat actions alias \
      autoindex deflate dir env expires filter headers mime negotiation proxy proxy_fcgi proxy_http proxy_wstunnel remoteip \
      reqtimeout rewrite setenvif unixd log_config version; do
      [ ! -f "$modules/mod_$name.so" ] || echo "LoadModule ${name}_module \"$modules/mod_$name.so\""
    done
    cat <<APACHE
$as_root
ServerRoot "$run"
PidFile "$run/httpd.pid"
Mutex pthread
TypesConfig "$run/mime.types"
AddOutputFilterByType DEFLATE text/html text/css text/javascript text/plain text/xml application/json image/svg+xml
ServerTokens Prod
ServerSignature Off
ServerName localhost
GracefulShutdownTimeout 25
ErrorLog /dev/stderr
Define heroku-fcgi unix:$socket|fcgi://heroku-fcgi
<Directory "/">
  AllowOverride None
  Require all denied
</Directory>
Include "$vhost"
APACHE
  } >"$run/httpd.conf"
  cat >"$run/vhost.conf" <<'VHOST'
<Proxy "${heroku-fcgi}">
  ProxySet min=0
</Proxy>
Listen ${PORT}
<VirtualHost *:${PORT}>
  KeepAliveTimeout 95
  LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" heroku
  CustomLog /dev/stdout heroku
  TraceEnable off
  <Directory "${HEROKU_APP_DIR}">
    Require all denied
    <FilesMatch "^(\.(?!well-known\/)|composer\.(json|lock|phar)$|Procfile$)">
      Require all denied
    </FilesMatch>
  </Directory>
  <Directory "${HEROKU_APP_DIR}/${COMPOSER_VENDOR_DIR}">
    Require all denied
  </Directory>
  <Directory "${HEROKU_APP_DIR}/${COMPOSER_BIN_DIR}">
    Require all denied
  </Directory>
  <DirectoryMatch "/\.(?!well-known)">
    Require all denied
  </DirectoryMatch>
  DocumentRoot "${DOCUMENT_ROOT}"
  <Directory "${DOCUMENT_ROOT}">
    Options FollowSymLinks
    AllowOverride All
    Require all granted
  </Directory>
  SetEnvIfNoCase ^Authorization$ "(.+)" HTTP_AUTHORIZATION=$1
  <FilesMatch \.php$>
    <If "-f %{REQUEST_FILENAME}">
      SetHandler proxy:fcgi://heroku-fcgi
    </If>
  </FilesMatch>
  Include "${HEROKU_PHP_HTTPD_CONFIG_INCLUDE}"
</VirtualHost>
VHOST
  web=("$program" -d "$run" -f "$run/httpd.conf")
  run_it=(-DFOREGROUND)
  graceful=WINCH
}

configure_nginx() {
  local include=$run/default.conf http=$run/http.conf
  cp "$HEROKU_APP_DIR/.heroku/php/etc/mime.types" "$run/mime.types"
  : >"$run/heroku.types"
  cat >"$run/fastcgi_params" <<'PARAMS'
fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param DOCUMENT_URI $document_uri;
fastcgi_param DOCUMENT_ROOT $document_root;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param REQUEST_SCHEME $scheme;
fastcgi_param HTTPS $https if_not_empty;
fastcgi_param GATEWAY_INTERFACE CGI/1.1;
fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
fastcgi_param REMOTE_ADDR $remote_addr;
fastcgi_param REMOTE_PORT $remote_port;
fastcgi_param SERVER_ADDR $server_addr;
fastcgi_param SERVER_PORT $server_port;
fastcgi_param SERVER_NAME $server_name;
fastcgi_param REDIRECT_STATUS 200;
PARAMS
  cat >"$include" <<INCLUDE
location / {
  index index.php index.html index.htm;
}
location ~ ^/(composer\\.(json|lock|phar)\$|Procfile\$|$COMPOSER_VENDOR_DIR/|$COMPOSER_BIN_DIR/) {
  deny all;
}
INCLUDE
  if [ -n "${given[C]:-}" ]; then
    readable C "${given[C]}"
    include=$found
    say "Using Nginx server-level configuration include '${given[C]}'"
  fi
  export HEROKU_PHP_NGINX_CONFIG_INCLUDE=$include
  cat >"$run/http.conf" <<HTTP
http {
  include mime.types;
  default_type application/octet-stream;
  client_body_temp_path $run/body;
  proxy_temp_path $run/proxy;
  fastcgi_temp_path $run/fastcgi;
  uwsgi_temp_path $run/uwsgi;
  scgi_temp_path $run/scgi;
  sendfile on;
  keepalive_timeout 95;
  server_tokens off;
  fastcgi_buffers 256 4k;
  upstream heroku-fcgi {
    server unix:$socket max_fails=3 fail_timeout=3s;
    keepalive 16;
  }
  server {
    location @heroku-fcgi {
      include fastcgi_params;
      fastcgi_split_path_info ^(.+\\.php)(/.*)\$;
      fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
      fastcgi_param PATH_INFO \$fastcgi_path_info if_not_empty;
      fastcgi_param SERVER_NAME \$host;
      if (!-f \$document_root\$fastcgi_script_name) {
        return 404;
      }
      fastcgi_pass heroku-fcgi;
    }
    server_name localhost;
    listen $PORT;
    port_in_redirect off;
    root "$DOCUMENT_ROOT";
    error_log stderr;
    access_log /dev/stdout;
    include "$include";
    location ~* /\\.(?!well-known\\/) {
      deny all;
    }
    location ~ \\.php {
      try_files @heroku-fcgi @heroku-fcgi;
    }
  }
}
HTTP
  if [ -n "${given[c]:-}" ]; then
    readable c "${given[c]}"
    http=$found
    say "Using Nginx configuration file '${given[c]}'"
  fi
  cat >"$run/nginx.conf" <<NGINX
daemon off;
pid $run/nginx.pid;
worker_processes 2;
worker_shutdown_timeout 25s;
error_log stderr;
events {
  worker_connections 1024;
}
include "$http";
NGINX
  web=("$program" -e stderr -p "$run/" -c "$run/nginx.conf")
  run_it=()
  graceful=QUIT
}

case $server in
  apache2) configure_apache ;;
  *) configure_nginx ;;
esac
fpm=("$fpm" -y "$fpm_config" -c "$ini")
if [ -n "$testing" ]; then
  "${fpm[@]}" -t && "${web[@]}" -t && say "$me: All configs okay." && exit 0
  exit 1
fi

fpm_pid= web_pid= tail_pid=
# The web server first, which drains what it has; then PHP, then the logs.
stop() {
  trap '' TERM INT
  [ -z "$web_pid" ] || { kill -"$graceful" "$web_pid" && wait "$web_pid"; } 2>/dev/null
  [ -z "$fpm_pid" ] || { kill -QUIT "$fpm_pid" && wait "$fpm_pid"; } 2>/dev/null
  [ -z "$tail_pid" ] || { kill "$tail_pid" && wait "$tail_pid"; } 2>/dev/null
  rm -rf "$run" "$socket"
  say "Shutdown complete."
}
ended() {
  say "Process exited unexpectedly: $1, shutting down..."
  stop
  exit 1
}
trap 'say "SIGTERM received, attempting graceful shutdown..."; stop; trap - TERM EXIT; kill -TERM $$' TERM
[ ! -t 1 ] || trap 'say "SIGINT received, initiating graceful shutdown..."; stop; trap - INT EXIT; kill -INT $$' INT

if [ ${#logs[@]} -gt 0 ]; then
  tail -qF -n 0 "${logs[@]}" >&2 2>/dev/null &
  tail_pid=$!
fi
say "Starting php-fpm with $WEB_CONCURRENCY workers..."
"${fpm[@]}" &
fpm_pid=$!
until [ -S "$socket" ] || [ -n "${given[f]:-}" ]; do
  kill -0 "$fpm_pid" 2>/dev/null || ended php-fpm
  sleep 0.05
done
case $server in
  apache2) name=httpd ;;
  *) name=nginx ;;
esac
say "Starting $name..."
"${web[@]}" "${run_it[@]}" &
web_pid=$!
[ -z "$verbose" ] || say "Application ready for connections on port $PORT."
# Ends at the first of them that does; what a signal says comes first.
wait -n "$fpm_pid" "$web_pid"
kill -0 "$fpm_pid" 2>/dev/null && ended "$name" || ended php-fpm
